#include "base/float8.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

using namespace reform;

TEST_CASE("e4m3: codes are the values that the format's table gives", "[base][float8]") {
  CHECK(e4m3_to_f32(0x00) == 0.0f);
  CHECK(e4m3_to_f32(0x01) == 0x1p-9f);
  CHECK(e4m3_to_f32(0x07) == 7 * 0x1p-9f);
  CHECK(e4m3_to_f32(0x08) == 0x1p-6f);
  CHECK(e4m3_to_f32(0x38) == 1.0f);
  CHECK(e4m3_to_f32(0x39) == 1.125f);
  CHECK(e4m3_to_f32(0x7e) == 448.0f);
  CHECK(e4m3_to_f32(0xc4) == -3.0f);
  CHECK(std::isnan(e4m3_to_f32(0x7f)));
  CHECK(std::isnan(e4m3_to_f32(0xff)));
}

TEST_CASE("e4m3: every value is its own code, and what lies between goes to the nearer, halfway to the even one",
          "[base][float8]") {
  for (int sign : {0, 128}) {
    for (int code = 0; code <= 0x7e; ++code) {
      const float value = e4m3_to_f32(uint8_t(code | sign));
      REQUIRE(f32_to_e4m3(value) == (code | sign));
      if (code == 0x7e) continue;
      const float next = e4m3_to_f32(uint8_t((code + 1) | sign)), half = (value + next) / 2;
      INFO("between codes " << code << " and " << code + 1);
      REQUIRE(f32_to_e4m3(half) == ((code + code % 2) | sign));
      REQUIRE(f32_to_e4m3(std::nextafterf(half, value)) == (code | sign));
      REQUIRE(f32_to_e4m3(std::nextafterf(half, next)) == ((code + 1) | sign));
    }
  }
}

TEST_CASE("e4m3: what is too large becomes the largest, and NaN stays NaN", "[base][float8]") {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float f : {449.0f, 463.9f, 480.0f, 1e30f, infinity}) {
    CHECK(f32_to_e4m3(f) == 0x7e);
    CHECK(f32_to_e4m3(-f) == 0xfe);
  }
  CHECK((f32_to_e4m3(std::numeric_limits<float>::quiet_NaN()) & 0x7f) == 0x7f);
  CHECK(f32_to_e4m3(1e-30f) == 0);
  CHECK(f32_to_e4m3(-0.0f) == 0x80);
}
