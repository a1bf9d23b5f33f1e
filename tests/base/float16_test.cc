#include "base/float16.h"

#include <catch2/catch.hpp>
#include <cmath>

using namespace reform;

TEST_CASE("f16 and bf16: every finite bit pattern survives the way to float and back", "[base]") {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float half = f16_to_f32(uint16_t(bits)), brain = bf16_to_f32(uint16_t(bits));
    if (!std::isnan(half)) REQUIRE(f32_to_f16(half) == bits);
    if (!std::isnan(brain)) REQUIRE(f32_to_bf16(brain) == bits);
  }
  CHECK(std::isnan(f16_to_f32(f32_to_f16(NAN))));
  CHECK(std::isnan(bf16_to_f32(f32_to_bf16(NAN))));
}

TEST_CASE("f32 to f16 rounds to nearest even and overflows to infinity", "[base]") {
  CHECK(f32_to_f16(1.0f + 0x1p-11f) == f32_to_f16(1.0f));  // a tie goes to the even mantissa
  CHECK(f32_to_f16(1.0f + 3 * 0x1p-11f) == f32_to_f16(1.0f + 0x1p-9f));
  CHECK(f32_to_f16(65519.0f) == 0x7bff);
  CHECK(f32_to_f16(65520.0f) == 0x7c00);
  CHECK(f32_to_f16(-1e30f) == 0xfc00);
  CHECK(f32_to_f16(0x1p-25f) == 0);  // half the smallest subnormal: a tie, to even
  CHECK(f32_to_f16(0x1.8p-25f) == 1);
}
