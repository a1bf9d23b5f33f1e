#include "runtime/gather/passage_spans.h"

#include <algorithm>
#include <set>
#include <utility>

namespace reform {
namespace {

// What a part of the question may still take.
struct Ranking {
  explicit Ranking(std::span<const ScoredPassage> passages) : rest(passages) {}

  static bool before(const Ranking& a, const Ranking& b) {
    if (a.rest.empty() || b.rest.empty()) return !a.rest.empty() && b.rest.empty();
    if (a.n_taken != b.n_taken) return a.n_taken < b.n_taken;
    return a.rest.front().score > b.rest.front().score;
  }

  std::span<const ScoredPassage> rest;  // best first
  int64_t n_taken = 0;                  // tokens
};

void add_match(std::vector<Span>& spans, const ChosenPassage& chosen) {
  const ScoredPassage& p = chosen.passage;
  const auto score = float(p.score);
  Span* const last = spans.empty() ? nullptr : &spans.back();
  if (last == nullptr || last->context != p.context || last->edge || last->end_token != p.begin_token) {
    spans.push_back(
        {p.context, p.begin_token, p.end_token, false, score, chosen.round, p.parts, p.begin_token, p.end_token});
    return;
  }
  last->end_token = p.end_token;
  // The first round's scores are of the question itself.
  if (std::pair(chosen.round, -score) >= std::pair(last->round, -last->score)) return;
  last->score = score, last->round = chosen.round, last->parts = p.parts;
  last->best_begin_token = p.begin_token, last->best_end_token = p.end_token;
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

void choose_passages(std::span<const std::vector<ScoredPassage>> rankings, int round, int64_t budget_tokens,
                     std::vector<ChosenPassage>& chosen) {
  int64_t left = budget_tokens;
  std::set<std::pair<int32_t, int64_t>> taken;
  for (const ChosenPassage& c : chosen) {
    left -= c.passage.n_tokens();
    taken.insert({c.passage.context, c.passage.begin_token});
  }
  std::vector<Ranking> turns(rankings.begin(), rankings.end());
  const auto can_take = [&](const ScoredPassage& p) {
    return left > 0 && (p.n_tokens() <= left || chosen.empty()) && !taken.contains({p.context, p.begin_token});
  };
  while (true) {
    for (Ranking& r : turns) {
      while (!r.rest.empty() && !can_take(r.rest.front())) r.rest = r.rest.subspan(1);
    }
    const auto turn = std::min_element(turns.begin(), turns.end(), Ranking::before);
    if (turn == turns.end() || turn->rest.empty()) return;
    ScoredPassage passage = turn->rest.front();
    passage.end_token = std::min(passage.end_token, passage.begin_token + left);
    left -= passage.n_tokens(), turn->n_taken += passage.n_tokens();
    taken.insert({passage.context, passage.begin_token});
    chosen.push_back({std::move(passage), round});
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
