#include <catch2/catch.hpp>
#include <limits>

#include "tests/kernels/cuda/emulated_ops.h"
#include "tests/kernels/op_fixture.h"

namespace reform::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
const OpLimits kLimits = {1, 64, 1, 1, 1, 64};

int32_t argmax(Ops& ops, const std::vector<float>& logits) {
  int32_t id = -7;
  ops.argmax(logits, &id);
  return id;
}

TEST_CASE("argmax: the first of the largest, whatever stands among them", "[kernels][argmax][cuda]") {
  struct Case {
    std::vector<float> logits;
    int32_t want;
  };
  const Case cases[] = {{{3}, 0},
                        {{1, 2, 2, 0}, 1},
                        {{1, 3, 2}, 1},
                        {{1, 3, 3}, 1},
                        {{kNan, -5, kNan, -4}, 3},
                        {{-kInf, -5}, 1},
                        {{2, kInf, kNan}, 1},
                        {{kNan, -5, kNan, -4, kNan}, 3},
                        {{-kInf, kNan, -kInf}, 0},
                        {{kNan, kNan}, 0},
                        {{1, kInf, 2, kInf}, 1},
                        {{-kInf, -3e38f}, 1},
                        {{-0.0f, 0.0f}, 0}};
  for (const Case& c : cases) {
    CAPTURE(c.logits);
    CHECK(argmax(*make_reference_ops(), c.logits) == c.want);
    for (const Isa isa : supported_isas()) CHECK(argmax(*CpuUnderTest(isa, kLimits, 2), c.logits) == c.want);
    for_each_cuda(kLimits, [&](Ops& ops) { CHECK(argmax(ops, c.logits) == c.want); });
  }
}

TEST_CASE("argmax: found wherever it stands in a vocabulary, its first copy too", "[kernels][argmax][cuda]") {
  Random random(5);
  for (const int64_t n : {31, 1023, 1024, 1025, 3001}) {
    std::vector<float> logits = random.normals(n);
    for (int i = 0; i < 12; ++i) {
      const int64_t at = i == 0 ? 0 : i == 1 ? n - 1 : random.below(n);
      std::vector<float> with = logits;
      with[size_t(at)] = 100;
      with[size_t(std::min(n - 1, at + 1 + random.below(n)))] = 100;
      CAPTURE(n, at);
      for_each_cuda(kLimits, [&](Ops& ops) { CHECK(argmax(ops, with) == at); });
    }
  }
}

}  // namespace
}  // namespace reform::test
