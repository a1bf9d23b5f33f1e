#include "runtime/gather/passage_spans.h"

#include <algorithm>
#include <utility>

namespace reform {
namespace {

void add_match(std::vector<Span>& spans, const ChosenPassage& chosen) {
  const ScoredPassage& p = chosen.passage;
  const auto score = float(p.score);
  Span* const last = spans.empty() ? nullptr : &spans.back();
  if (last == nullptr || last->context != p.context || last->edge || last->end_token != p.begin_token) {
    spans.push_back({p.context, p.begin_token, p.end_token, false, score, chosen.round, p.parts});
    return;
  }
  last->end_token = p.end_token;
  if (score > last->score) last->score = score, last->round = chosen.round, last->parts = p.parts;
}

void add_edge(std::vector<Span>& spans, int32_t context, int64_t begin, int64_t end) {
  if (begin < end) spans.push_back({context, begin, end, true, 0});
}

// What lies in a gap between passages, or before the first or after the last, and in one of the edges.
void add_edges(std::vector<Span>& spans, int32_t context, int64_t begin, int64_t end, int64_t head_end,
               int64_t tail_begin) {
  if (head_end >= tail_begin) return add_edge(spans, context, begin, end);
  add_edge(spans, context, begin, std::min(end, head_end));
  add_edge(spans, context, std::max(begin, tail_begin), end);
}

}  // namespace

void choose_passages(std::vector<ScoredPassage> best_first, int round, int64_t budget_tokens,
                     std::vector<ChosenPassage>& chosen) {
  int64_t left = budget_tokens;
  for (const ChosenPassage& c : chosen) left -= c.passage.n_tokens();
  for (ScoredPassage& p : best_first) {
    const auto same = [&](const ChosenPassage& c) {
      return c.passage.context == p.context && c.passage.begin_token == p.begin_token;
    };
    if (left <= 0 || std::any_of(chosen.begin(), chosen.end(), same)) continue;
    if (chosen.empty()) p.end_token = std::min(p.end_token, p.begin_token + left);
    if (p.n_tokens() > left) continue;
    left -= p.n_tokens();
    chosen.push_back({std::move(p), round});
  }
}

std::vector<Span> make_passage_spans(std::vector<ChosenPassage> chosen, std::span<const int64_t> n_tokens,
                                     int64_t edge_tokens) {
  std::sort(chosen.begin(), chosen.end(), [](const ChosenPassage& a, const ChosenPassage& b) {
    return std::pair(a.passage.context, a.passage.begin_token) < std::pair(b.passage.context, b.passage.begin_token);
  });
  std::vector<Span> spans;
  size_t next = 0;
  for (size_t c = 0; c < n_tokens.size(); ++c) {
    const int64_t n = n_tokens[c], head_end = std::min(edge_tokens, n),
                  tail_begin = std::max(head_end, n - edge_tokens);
    int64_t done = 0;
    for (; next < chosen.size() && size_t(chosen[next].passage.context) == c; ++next) {
      add_edges(spans, int32_t(c), done, chosen[next].passage.begin_token, head_end, tail_begin);
      add_match(spans, chosen[next]);
      done = chosen[next].passage.end_token;
    }
    add_edges(spans, int32_t(c), done, n, head_end, tail_begin);
  }
  return spans;
}

}  // namespace reform
