#include "runtime/compress/policies/policy.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <vector>

using namespace reform;

namespace {

std::vector<int32_t> keep(const KeptSlots& kept, const std::vector<float>& scores) {
  std::vector<int32_t> slots(size_t(kept.total()));
  make_reference_ops()->choose_slots(kept, int64_t(scores.size()), scores, slots);
  return slots;
}

}  // namespace

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
      CAPTURE(policy.name, budget, kv_len, sinks);
      const KeptSlots kept = policy.kept(budget, sinks);
      REQUIRE(kept.total() == budget);
      CHECK((kept.first >= sinks && kept.heaviest >= 0 && kept.last >= 1));
      CHECK((policy.wants_scores || kept.heaviest == 0));
      const std::vector<int32_t> slots = keep(kept, scores);
      CHECK(std::adjacent_find(slots.begin(), slots.end(), std::greater_equal<>()) == slots.end());
      CHECK(slots.back() == kv_len - 1);
      for (int64_t s = 0; s < sinks; ++s) CHECK(slots[size_t(s)] == s);
    }
  }
}

TEST_CASE("h2o keeps the slots that received most attention", "[runtime]") {
  std::vector<float> scores(20, 0.0f);
  scores[7] = 5, scores[11] = 4, scores[3] = 1;
  CHECK(keep(keep_h2o(8, 2), scores) == std::vector<int32_t>{0, 1, 7, 11, 16, 17, 18, 19});  // 4 recent, 2 heavy
}
