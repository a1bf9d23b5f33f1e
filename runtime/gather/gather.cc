#include "runtime/gather/gather.h"

#include <algorithm>

namespace reform {

Gatherer::Gatherer(int64_t budget_tokens, int64_t pool_window)
    : budget_tokens_(budget_tokens), pool_window_(pool_window) {
  heap_.reserve(size_t(budget_tokens) + 1);
}

bool Gatherer::better(const Candidate& a, const Candidate& b) {
  if (a.pooled != b.pooled) return a.pooled > b.pooled;
  if (a.peak_distance != b.peak_distance) return a.peak_distance < b.peak_distance;
  if (a.context != b.context) return a.context < b.context;
  return a.token < b.token;
}

void Gatherer::begin_context(int64_t n_tokens, int64_t edge_tokens) {
  ++context_;
  n_tokens_ = n_tokens;
  edge_tokens_ = edge_tokens;
  n_scored_ = n_settled_ = 0;
  window_.clear();
}

void Gatherer::add_scores(std::span<const float> scores) {
  const int64_t reach = pool_window_ / 2;
  for (const float score : scores) {
    // Only strictly smaller scores leave, so the first of equal ones stays the peak.
    while (!window_.empty() && window_.back().score < score) window_.pop_back();
    window_.push_back({score, n_scored_++});
    settle_until(n_scored_ - reach);
  }
}

void Gatherer::end_context() { settle_until(n_scored_); }

// Scores are known for the whole window of each token below token_end.
void Gatherer::settle_until(int64_t token_end) {
  const int64_t reach = pool_window_ / 2;
  for (; n_settled_ < token_end; ++n_settled_) {
    const int64_t token = n_settled_;
    while (window_.front().token < token - reach) window_.pop_front();
    if (token < edge_tokens_ || token >= n_tokens_ - edge_tokens_ || budget_tokens_ <= 0) continue;
    const Peak& peak = window_.front();
    const Candidate candidate{peak.score, int32_t(std::abs(token - peak.token)), context_, token};
    if (int64_t(heap_.size()) < budget_tokens_) {
      heap_.push_back(candidate);
      std::push_heap(heap_.begin(), heap_.end(), better);
    } else if (better(candidate, heap_.front())) {
      std::pop_heap(heap_.begin(), heap_.end(), better);
      heap_.back() = candidate;
      std::push_heap(heap_.begin(), heap_.end(), better);
    }
  }
}

std::vector<GatheredToken> Gatherer::take() {
  std::vector<GatheredToken> tokens;
  for (const Candidate& c : heap_) tokens.push_back({c.context, c.token, c.pooled});
  heap_.clear();
  std::sort(tokens.begin(), tokens.end(), [](const GatheredToken& a, const GatheredToken& b) {
    return a.context != b.context ? a.context < b.context : a.token < b.token;
  });
  return tokens;
}

namespace {

void add_run(std::vector<Span>& spans, const Span& run) {
  if (run.begin_token >= run.end_token) return;
  if (!spans.empty()) {
    Span& last = spans.back();
    if (last.context == run.context && last.edge == run.edge && last.end_token == run.begin_token) {
      last.end_token = run.end_token;
      last.score = std::max(last.score, run.score);
      return;
    }
  }
  spans.push_back(run);
}

}  // namespace

std::vector<Span> make_spans(std::span<const GatheredToken> chosen, std::span<const int64_t> n_tokens,
                             std::span<const int64_t> edge_tokens) {
  std::vector<Span> spans;
  size_t next = 0;
  for (size_t c = 0; c < n_tokens.size(); ++c) {
    const int32_t context = int32_t(c);
    const int64_t n = n_tokens[c], head_end = std::min(edge_tokens[c], n),
                  tail_begin = std::max(head_end, n - edge_tokens[c]);
    add_run(spans, {context, 0, head_end, true, 0});
    for (; next < chosen.size() && chosen[next].context == context; ++next) {
      add_run(spans, {context, chosen[next].token, chosen[next].token + 1, false, chosen[next].score});
    }
    add_run(spans, {context, tail_begin, n, true, 0});
  }
  return spans;
}

int64_t edge_tokens_per_side(int64_t edge_tokens, int64_t budget_tokens, int64_t n_contexts) {
  if (n_contexts <= 1) return edge_tokens;
  return std::min(edge_tokens, budget_tokens / 4 / (2 * n_contexts));
}

}  // namespace reform
