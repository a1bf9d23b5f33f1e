// Which slots of a cache are kept, and the scores that move with them.
#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>

#include "tests/kernels/cuda/emulated_ops.h"
#include "tests/kernels/op_fixture.h"
#include "tests/support/compare.h"

namespace reform::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
const OpLimits kLimits = {300, 64, 64, 4, 2, 128};

template <class Fn>
void for_each_ops(Fn fn) {
  for (const Isa isa : supported_isas()) {
    INFO("isa " << name(isa));
    fn(*CpuUnderTest(isa, kLimits, 2));
  }
  for_each_cuda(kLimits, fn);
}

std::vector<int32_t> choose(Ops& ops, const KeptSlots& kept, int64_t kv_len, const std::vector<float>& scores) {
  std::vector<int32_t> keep(size_t(kept.total()), -7);
  ops.choose_slots(kept, kv_len, scores, keep);
  return keep;
}

TEST_CASE("choose_slots: the first, the heaviest between, of equals the earlier, and the last", "[kernels][cuda]") {
  struct Case {
    KeptSlots kept;
    std::vector<float> scores;
    std::vector<int32_t> want;
  };
  const Case cases[] = {
      {{1, 2, 1}, {0, 5, 7, 6, 9}, {0, 2, 3, 4}},
      {{1, 2, 1}, {9, 3, 3, 3, 9}, {0, 1, 2, 4}},            // of equal ones the earlier
      {{0, 3, 0}, {1, 2, 2, 1, 2, 1}, {1, 2, 4}},            // just as many as there are
      {{0, 2, 0}, {-1, -3, -2, -0.5f}, {0, 3}},              // below zero
      {{0, 2, 0}, {-1e-45f, 0, 1e-45f, -1}, {1, 2}},         // by a denormal
      {{0, 1, 0}, {-0.0f, 0.0f}, {0}},                       // these are equal too
      {{0, 1, 0}, {-kInf, kNan, -kInf}, {0}},                // a NaN is below all
      {{0, 3, 0}, {kNan, 1, kNan, -kInf, kNan}, {0, 1, 3}},  // and equal to other NaNs
      {{0, 2, 0}, {1, kInf, 3e38f, kInf, -kNan}, {1, 3}},
      {{2, 0, 3}, {}, {0, 1, 7, 8, 9}},                     // no scores are needed
      {{2, 3, 1}, {1, 2, 3, 4, 5, 6}, {0, 1, 2, 3, 4, 5}},  // all
      {{0, 0, 0}, {1, 2}, {}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.scores);
    const int64_t kv_len = c.scores.empty() ? 10 : int64_t(c.scores.size());
    CHECK(choose(*make_reference_ops(), c.kept, kv_len, c.scores) == c.want);
    for_each_ops([&](Ops& ops) { CHECK(choose(ops, c.kept, kv_len, c.scores) == c.want); });
  }
}

TEST_CASE("choose_slots: every isa chooses what ref chooses", "[kernels][cuda]") {
  Random random(21);
  for (const int64_t kv_len : {5, 33, 1023, 1025, 2500}) {
    for (const int64_t n_values : {1, 3, 100, 1'000'000}) {  // equal scores: all, many, some, none
      std::vector<float> scores;
      for (int64_t i = 0; i < kv_len; ++i) scores.push_back(float(random.below(n_values)) * 0.37f - 3.0f);
      for (const int64_t first : {0, 4}) {
        const int64_t last = random.below(kv_len - first), between = kv_len - first - last;
        for (const int64_t heaviest : {int64_t{0}, int64_t{1}, between / 2, between - 1, between}) {
          CAPTURE(kv_len, n_values, first, last, heaviest);
          const KeptSlots kept{first, heaviest, last};
          const std::vector<int32_t> want = choose(*make_reference_ops(), kept, kv_len, scores);
          for_each_ops([&](Ops& ops) { CHECK(choose(ops, kept, kv_len, scores) == want); });
        }
      }
    }
  }
}

TEST_CASE("compact_scores: scores move with their slots, and behind them is zero", "[kernels][cuda]") {
  Random random(22);
  for (const int64_t capacity : {1, 90, 40'001}) {  // more than fits the staging buffer
    const std::vector<float> before = random.normals(capacity);
    for (const int64_t one_of : {1, 2, 7}) {
      std::vector<int32_t> keep;
      for (int32_t slot = 0; slot < capacity; ++slot)
        if (random.below(one_of) == 0) keep.push_back(slot);
      std::vector<float> want(before.size(), 0.0f);
      for (size_t to = 0; to < keep.size(); ++to) want[to] = before[size_t(keep[to])];
      const auto compacted = [&](Ops& ops) {
        std::vector<float> scores = before;
        ops.compact_scores(scores, keep);
        return scores;
      };
      CAPTURE(capacity, one_of);
      CHECK(compacted(*make_reference_ops()) == want);
      for_each_ops([&](Ops& ops) { CHECK(compacted(ops) == want); });
    }
  }
}

std::vector<int32_t> cascade(Ops& ops, const Cascade& shape, int64_t kv_len, int64_t n_kept,
                             const std::vector<float>& scores) {
  std::vector<int32_t> keep(size_t(n_kept), -7);
  ops.choose_cascade(shape, kv_len, scores, keep);
  return keep;
}

TEST_CASE("choose_cascade: rings by their rule, worked by hand", "[kernels]") {
  // A sink and two rings of two slots: 0 | 1 2 | 3 4. Token 5 still fills: 3 passes on, 1 is lost. Token 6: the second
  // ring does not accept 4, which competes with 3. Token 7: it accepts 5, and 2 is lost.
  const Cascade shape{.sinks = 1, .n_rings = 2, .n_seen = 8};
  struct Case {
    float third, fourth;  // scores
    std::vector<int32_t> want;
  };
  const Case cases[] = {
      {1, 2, {0, 4, 5, 6, 7}}, {2, 1, {0, 3, 5, 6, 7}}, {1, 1, {0, 4, 5, 6, 7}}, {1, kNan, {0, 3, 5, 6, 7}}};
  for (const Case& c : cases) {
    const std::vector<float> scores = {0, 9, 9, c.third, c.fourth, 0, 0, 0};
    CHECK(cascade(*make_reference_ops(), shape, 8, 5, scores) == c.want);
    for (const Isa isa : supported_isas())
      CHECK(cascade(*CpuUnderTest(isa, kLimits, 2), shape, 8, 5, scores) == c.want);
  }
  // Long after: of 97, 98 and 99 the second ring accepts 98 alone. 3 takes the place of 2, then 5 that of 4.
  const Cascade later{.sinks = 1, .n_rings = 2, .n_seen = 101};
  const std::vector<float> scores = {0, 1, 2, 3, 4, 5, 6, 7};
  CHECK(cascade(*make_reference_ops(), later, 8, 5, scores) == std::vector<int32_t>{0, 3, 5, 6, 7});
}

TEST_CASE("choose_cascade: every isa chooses what ref chooses, in order, and the newest", "[kernels]") {
  Random random(23);
  for (int round = 0; round < 200; ++round) {
    const int64_t n_rings = 1 + random.below(6), sinks = random.below(5), n_kept = sinks + n_rings + random.below(90);
    const int64_t kv_len = n_kept + 1 + random.below(300), n_seen = kv_len + random.below(3) * random.below(5000);
    std::vector<float> scores;
    for (int64_t i = 0; i < kv_len; ++i) scores.push_back(float(random.below(30)));
    CAPTURE(n_rings, sinks, n_kept, kv_len, n_seen);
    const Cascade shape{sinks, n_rings, n_seen};
    const std::vector<int32_t> want = cascade(*make_reference_ops(), shape, kv_len, n_kept, scores);
    CHECK(std::ranges::adjacent_find(want, std::greater_equal<>()) == want.end());
    CHECK(want.back() == kv_len - 1);
    for (int64_t s = 0; s < sinks; ++s) CHECK(want[size_t(s)] == s);
    for (const Isa isa : supported_isas())
      CHECK(cascade(*CpuUnderTest(isa, kLimits, 2), shape, kv_len, n_kept, scores) == want);
  }
}

TEST_CASE("scale: every isa multiplies each number", "[kernels]") {
  Random random(24);
  for (const int64_t n : {0, 1, 15, 16, 33, 200}) {
    const std::vector<float> before = random.normals(n);
    std::vector<float> want = before;
    for (float& x : want) x *= 0.37f;
    std::vector<float> got = before;
    make_reference_ops()->scale(got, 0.37f);
    CHECK(got == want);
    for (const Isa isa : supported_isas()) {
      got = before;
      CpuUnderTest(isa, kLimits, 2)->scale(got, 0.37f);
      CHECK(got == want);
    }
  }
}

}  // namespace
}  // namespace reform::test
