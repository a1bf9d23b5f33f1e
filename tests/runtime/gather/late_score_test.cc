#include "runtime/gather/late_score.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

using namespace reform;

namespace {

ScoreMaps two_heads() {
  return {.heads = {{0.4, 0.1, 2}, {0.1, 0.5, -1}}, .lexical = {0.25, 0.5, 3}, .length_weight = -0.5};
}

void check_near(const std::vector<double>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i] == Approx(want[i]).margin(1e-6));  // cosines are floats
  }
}

}  // namespace

TEST_CASE("late score: two heads and two words, by hand", "[runtime][gather]") {
  const ScoreMaps maps = two_heads();
  const std::vector<float> cosines = {0.5f, 0.9f, 0.2f, 0.4f};  // [n_heads, n_query]
  const std::vector<float> second_word = {0, 1};
  const LateScore score(maps, {1, 3});
  CHECK(score.n_query() == 2);
  // The weights are 1/4 and 3/4: means 0.8 and 0.35, and 3/4 of the words.
  check_near(score.parts(8, cosines, second_word), {2 * 0.4 / 0.1, -0.25 / 0.5, 3 * 0.5 / 0.5, -0.5 * std::log(8.0)});
  check_near(score.parts(1, cosines, std::vector<float>{0, 0}), {8, -0.5, -1.5, 0});
  // A word of no weight does not count.
  check_near(LateScore(maps, {0, 0.3}).parts(1, cosines, second_word), {10, -0.6, 4.5, 0});
}

TEST_CASE("late score: words without any weight all count the same", "[runtime][gather]") {
  const ScoreMaps maps = two_heads();
  const std::vector<float> cosines = {0.5f, 0.9f, 0.2f, 0.4f};
  check_near(LateScore(maps, {0, 0}).parts(1, cosines, std::vector<float>{1, 0}), {6, -0.4, 1.5, 0});
}

// score() of shared terms: the sum over tokens of weight * the sum over heads of the map of the largest cosine.
TEST_CASE("late score: the parts add up to the formula, token by token and head by head", "[runtime][gather]") {
  std::mt19937 rng(3);
  const auto number = [&](double low, double high) { return std::uniform_real_distribution<double>(low, high)(rng); };
  for (int round = 0; round < 100; ++round) {
    const size_t n_heads = 1 + rng() % 16, n_query = 1 + rng() % 40;
    ScoreMaps maps;
    const auto map = [&] { return ScoreMap{number(-1, 1), number(0.005, 2), number(-3, 3)}; };
    for (size_t h = 0; h < n_heads; ++h) maps.heads.push_back(map());
    maps.lexical = map(), maps.length_weight = number(-1, 1);
    std::vector<double> weights;
    std::vector<float> cosines, shares;
    for (size_t t = 0; t < n_query; ++t)
      weights.push_back(rng() % 4 == 0 ? 0 : number(0, 9)), shares.push_back(0.3f * float(rng() % 4));
    weights[0] = 1;
    for (size_t i = 0; i < n_heads * n_query; ++i) cosines.push_back(float(number(-1, 1)));

    double sum_of_weights = 0, want = 0;
    for (const double w : weights) sum_of_weights += w;
    for (size_t t = 0; t < n_query; ++t) {
      double of_token = maps.lexical.weight * (double(shares[t]) - maps.lexical.mu) / maps.lexical.sigma;
      for (size_t h = 0; h < n_heads; ++h)
        of_token += maps.heads[h].weight * (double(cosines[h * n_query + t]) - maps.heads[h].mu) / maps.heads[h].sigma;
      want += weights[t] / sum_of_weights * of_token;
    }
    const auto n_tokens = int64_t(1 + rng() % 96);
    want += maps.length_weight * std::log(double(n_tokens));
    const auto parts = LateScore(maps, weights).parts(n_tokens, cosines, shares);
    CHECK(parts.size() == n_heads + 2);
    CHECK(std::accumulate(parts.begin(), parts.end(), 0.0) == Approx(want).epsilon(1e-9).margin(1e-9));
  }
}
