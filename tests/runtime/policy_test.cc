#include "runtime/policies/policy.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

using namespace reform;

TEST_CASE("every policy that carries a cache keeps exactly its budget, ascending, sinks and the newest slot",
          "[runtime]") {
  std::mt19937 rng(3);
  for (const Policy& policy : policies()) {
    if (policy.carry == Carry::kNothing) continue;
    for (int round = 0; round < 100; ++round) {
      const int64_t budget = 2 + int64_t(rng() % 50), kv_len = budget + 1 + int64_t(rng() % 90),
                    sinks = int64_t(rng() % uint32_t(budget / 2 + 1));
      std::vector<float> scores;
      for (int64_t i = 0; i < kv_len; ++i) scores.push_back(float(rng() % 10));
      std::vector<int32_t> keep;
      policy.choose({scores, kv_len, budget, sinks}, keep);
      CAPTURE(policy.name, budget, kv_len, sinks);
      REQUIRE(int64_t(keep.size()) == budget);
      CHECK(std::adjacent_find(keep.begin(), keep.end(), std::greater_equal<>()) == keep.end());
      CHECK(keep.back() == kv_len - 1);
      for (int64_t s = 0; s < sinks; ++s) CHECK(keep[size_t(s)] == s);
    }
  }
}

TEST_CASE("h2o keeps the slots that received most attention", "[runtime]") {
  std::vector<float> scores(20, 0.0f);
  scores[7] = 5, scores[11] = 4, scores[3] = 1;
  std::vector<int32_t> keep;
  keep_h2o({scores, 20, 8, 2}, keep);  // 2 sinks, 4 recent, 2 heavy
  CHECK(keep == std::vector<int32_t>{0, 1, 7, 11, 16, 17, 18, 19});
}
