// Tokens drawn from logits by CUDA. The host's filters are tested in tests/runtime/recompute/next_token_test.cc.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <set>

#include "tests/kernels/cuda/emulated_ops.h"
#include "tests/kernels/op_fixture.h"

namespace reform::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
const OpLimits kLimits = {1, 64, 1, 1, 1, 64};

int32_t drawn(Ops& ops, const std::vector<float>& logits, const Draw& draw) {
  int32_t id = -7;
  ops.draw(logits, draw, &id);
  return id;
}

// All that ref draws within the rounding of an exponential. At the edge between two tokens, or of a filter, both are
// right.
std::set<int32_t> drawn_nearby(const std::vector<float>& logits, const Draw& draw) {
  std::set<int32_t> ids;
  for (const double off : {-2e-6, 0.0, 2e-6}) {
    for (const double top_p : {-2e-6, 0.0, 2e-6}) {
      Draw near = draw;
      near.uniform = std::clamp(draw.uniform + off, 0.0, std::nextafter(1.0, 0.0));
      if (draw.top_p > 0 && draw.top_p < 1) near.top_p += top_p;
      ids.insert(drawn(*make_reference_ops(), logits, near));
    }
  }
  return ids;
}

TEST_CASE("draw: cuda draws what ref draws, whatever the filters", "[kernels][cuda]") {
  Random random(31);
  int n_cases = 0, n_certain = 0;
  for (const int64_t n : {1, 2, 31, 96, 97, 1500}) {
    for (const int64_t n_values : {2, 40, 1'000'000}) {  // equal logits: nearly all, many, none
      std::vector<float> logits;
      for (int64_t i = 0; i < n; ++i) logits.push_back(float(random.below(n_values)) * 8.0f / float(n_values) - 5.0f);
      if (n > 40) logits[7] = kNan, logits[33] = -kInf, logits[size_t(n) - 1] = -kInf;
      for (const int64_t top_k : {int64_t{0}, int64_t{1}, int64_t{5}, n / 2 + 1, n + 3}) {
        for (const double top_p : {1.0, 0.83, 0.0}) {
          for (const double min_p : {0.0, 0.21}) {
            ++n_cases;
            const Draw draw{top_k, top_p, min_p, 0.2 + 0.01 * double(random.below(200)),
                            double(random.below(1'000'000)) / 1e6};
            CAPTURE(n, n_values, top_k, top_p, min_p, draw.temperature, draw.uniform);
            const std::set<int32_t> want = drawn_nearby(logits, draw);
            for_each_cuda(kLimits, [&](Ops& ops) { CHECK(want.count(drawn(ops, logits, draw)) == 1); });
            n_certain += want.size() == 1;
          }
        }
      }
    }
  }
  CHECK(n_certain > n_cases * 9 / 10);
}

TEST_CASE("draw: each token as often as it is likely, from the first to the last", "[kernels][cuda]") {
  const std::vector<float> logits = {0, std::log(2.0f), kNan, std::log(4.0f), -kInf, 0};  // 1 2 - 4 - 1, of 8
  const std::vector<int32_t> want = {0, 1, 1, 3, 3, 3, 3, 5};
  const auto check = [&](Ops& ops) {
    for (size_t i = 0; i < want.size(); ++i) {
      for (const double within : {0.001, 0.5, 0.999})
        CHECK(drawn(ops, logits, {.uniform = (double(i) + within) / 8}) == want[i]);
    }
    CHECK(drawn(ops, logits, {.uniform = 0}) == 0);
    CHECK(drawn(ops, logits, {.uniform = std::nextafter(1.0, 0.0)}) == 5);
  };
  check(*make_reference_ops());
  for_each_cuda(kLimits, check);
}

TEST_CASE("draw: infinite logits, and none at all", "[kernels][cuda]") {
  struct Case {
    std::vector<float> logits;
    int32_t want;
  };
  const Case cases[] = {{{kNan, kNan}, 0},    {{kNan, -kInf, -kInf}, 0}, {{1, kInf, 2, kInf}, 1},
                        {{-3e38f, 3e38f}, 1}, {{kNan, -7, -kInf}, 1},    {{-kInf, kInf}, 1}};
  for (const Case& c : cases) {
    CAPTURE(c.logits);
    for (const double top_p : {1.0, 0.5}) {
      const Draw draw{.top_k = 40, .top_p = top_p, .min_p = 0.05, .temperature = 0.7, .uniform = 0.9};
      CHECK(drawn(*make_reference_ops(), c.logits, draw) == c.want);
      for_each_cuda(kLimits, [&](Ops& ops) { CHECK(drawn(ops, c.logits, draw) == c.want); });
    }
  }
}

}  // namespace
}  // namespace reform::test
