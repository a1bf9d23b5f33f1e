#include "runtime/gather/gather.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <tuple>

using namespace reform;

namespace {

// The definition of a gather, with an array as long as the text.
std::vector<int64_t> plain_gather(const std::vector<float>& scores, int64_t budget, int64_t window, int64_t edge) {
  const int64_t n = int64_t(scores.size());
  std::vector<std::tuple<float, int64_t, int64_t>> ranked;  // -pooled, distance to the peak, token
  for (int64_t t = edge; t < n - edge; ++t) {
    int64_t peak = std::max<int64_t>(0, t - window / 2);
    for (int64_t s = peak; s <= std::min(n - 1, t + window / 2); ++s) {
      if (scores[size_t(s)] > scores[size_t(peak)]) peak = s;
    }
    ranked.emplace_back(-scores[size_t(peak)], std::abs(t - peak), t);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < std::min(budget, int64_t(ranked.size())); ++i)
    chosen.push_back(std::get<2>(ranked[size_t(i)]));
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

std::vector<GatheredToken> run(const std::vector<std::vector<float>>& contexts, int64_t budget, int64_t window,
                               int64_t edge, size_t step) {
  Gatherer gatherer(budget, window);
  for (const auto& scores : contexts) {
    gatherer.begin_context(int64_t(scores.size()), edge);
    for (size_t b = 0; b < scores.size(); b += step)
      gatherer.add_scores({scores.data() + b, std::min(step, scores.size() - b)});
    gatherer.end_context();
  }
  return gatherer.take();
}

}  // namespace

TEST_CASE("the streaming gather is the plain one, on any lengths, windows, budgets, edges and ties", "[runtime]") {
  std::mt19937 rng(11);
  for (int round = 0; round < 300; ++round) {
    const int64_t n = 1 + int64_t(rng() % 200), edge = int64_t(rng() % 12), budget = int64_t(rng() % 60),
                  window = 1 + 2 * int64_t(rng() % 20);
    std::vector<float> scores;
    for (int64_t i = 0; i < n; ++i) scores.push_back(float(rng() % (round % 2 ? 7 : 100000)) / 7.0f);
    const auto got = run({scores}, budget, window, edge, 1 + rng() % 50);
    std::vector<int64_t> tokens;
    for (const GatheredToken& t : got) tokens.push_back(t.token);
    CAPTURE(n, edge, budget, window);
    CHECK(tokens == plain_gather(scores, budget, window, edge));
  }
}

TEST_CASE("several contexts share one ranking and one budget", "[runtime]") {
  const std::vector<float> low(50, 0.1f);
  std::vector<float> high(50, 0.0f);
  high[20] = 0.9f;
  const auto got = run({low, high}, /*budget=*/5, /*window=*/3, 0, 50);
  REQUIRE(got.size() == 5);
  CHECK(got[0].context == 0);
  CHECK(got[1].context == 0);
  CHECK(got[2].context == 1);
  CHECK(got[2].token == 19);
  CHECK(got[4].token == 21);
}

TEST_CASE("spans run in document order, all edge or all match, and cover what was chosen", "[runtime]") {
  const std::vector<GatheredToken> chosen = {{0, 3, 0.5f}, {0, 4, 0.7f}, {0, 9, 0.2f}, {1, 2, 0.3f}};
  const auto spans = make_spans(chosen, std::vector<int64_t>{12, 4}, std::vector<int64_t>{2, 1});
  REQUIRE(spans.size() == 7);
  CHECK((spans[0].edge && spans[0].begin_token == 0 && spans[0].end_token == 2));
  CHECK((!spans[1].edge && spans[1].begin_token == 3 && spans[1].end_token == 5 && spans[1].score == 0.7f));
  CHECK((spans[3].edge && spans[3].begin_token == 10 && spans[3].end_token == 12));
  CHECK((spans[4].context == 1 && spans[4].edge && spans[4].end_token == 1));
  CHECK((spans[6].edge && spans[6].begin_token == 3 && spans[6].end_token == 4));
}

TEST_CASE("a text shorter than its edges is taken whole, once", "[runtime]") {
  const auto spans = make_spans({}, std::vector<int64_t>{5}, std::vector<int64_t>{256});
  REQUIRE(spans.size() == 1);
  CHECK(spans[0].end_token == 5);
}

TEST_CASE("edges of several contexts stay inside a quarter of the budget", "[runtime]") {
  CHECK(edge_tokens_per_side(256, 2048, 1) == 256);
  CHECK(edge_tokens_per_side(256, 2048, 2) == 128);
  CHECK(2 * 3 * edge_tokens_per_side(256, 2048, 3) <= 512);
}
