#include "tests/support/compare.h"

#include <catch2/catch.hpp>
#include <limits>
#include <vector>

using namespace reform::test;
using Floats = std::vector<float>;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
constexpr Tolerance kLoose{1e30, 1e30};

bool matches(const Floats& got, const Floats& want, Tolerance tol) { return compare(got, want, tol).ok; }

}  // namespace

TEST_CASE("compare: a NaN on either side or on both never matches, however loose the tolerance", "[support]") {
  CHECK_FALSE(matches({kNan}, {1.0f}, kLoose));
  CHECK_FALSE(matches({1.0f}, {kNan}, kLoose));
  CHECK_FALSE(matches({kNan}, {kNan}, kLoose));
  CHECK_FALSE(matches({1.0f}, {1.5f}, {double(kNan), 0.0}));
}

TEST_CASE("compare: infinities match only themselves", "[support]") {
  CHECK(matches({kInf, -kInf}, {kInf, -kInf}, {}));
  CHECK_FALSE(matches({-kInf}, {kInf}, kLoose));
  CHECK_FALSE(matches({kInf}, {-kInf}, kLoose));
  CHECK_FALSE(matches({1.0f}, {kInf}, kLoose));
  CHECK_FALSE(matches({kInf}, {1.0f}, kLoose));
}

TEST_CASE("compare: rel scales with the wanted magnitude, negative or not, and never with what was got", "[support]") {
  CHECK(matches({-1.05f}, {-1.0f}, {0.0, 0.1}));
  CHECK_FALSE(matches({-1.2f}, {-1.0f}, {0.0, 0.1}));
  CHECK_FALSE(matches({1000.0f}, {1.0f}, {0.0, 0.999}));
  CHECK_FALSE(matches({0.01f}, {0.0f}, {0.0, 0.5}));
  CHECK(matches({0.01f}, {0.0f}, {0.02, 0.0}));
  CHECK(matches({-0.0f}, {0.0f}, {}));
}

TEST_CASE("compare: sizes must agree", "[support]") {
  CHECK_FALSE(matches({1.0f}, {1.0f, 2.0f}, kLoose));
  CHECK_FALSE(matches({}, {1.0f}, kLoose));
  CHECK(matches({}, {}, {}));
  const std::vector<double> want{1.0, 2.0}, allowed{1.0};
  CHECK_FALSE(compare(Floats{1.0f, 2.0f}, want, allowed).ok);
  CHECK_FALSE(same_bits(Floats{1.0f}, Floats{1.0f, 2.0f}).ok);
}

TEST_CASE("compare: one bad element in a million is found and named", "[support]") {
  Floats want(1'000'000, 1.0f), got = want;
  got[765'432] = 1.25f;
  const Comparison result = compare(got, want, {1e-3, 1e-3});
  REQUIRE_FALSE(result.ok);
  CHECK(result.message.find("[765432]: got 1.25, want 1,") != std::string::npos);
  CHECK(result.message.find("1 of 1000000") == 0);
}

TEST_CASE("compare: the worst mismatch is the one reported, a NaN above all", "[support]") {
  CHECK(compare(Floats{1.5f, 9.0f, 2.0f}, Floats{1.0f, 1.0f, 1.0f}, {}).message.find("[1]") != std::string::npos);
  CHECK(compare(Floats{9.0f, kNan, 9.0f}, Floats{1.0f, 1.0f, 1.0f}, {}).message.find("[1]") != std::string::npos);
}

TEST_CASE("compare: each element may have its own tolerance", "[support]") {
  const std::vector<double> want{1.0, 1.0}, allowed{0.5, 0.0};
  CHECK(compare(Floats{1.25f, 1.0f}, want, allowed).ok);
  CHECK_FALSE(compare(Floats{1.0f, 1.25f}, want, allowed).ok);
}

TEST_CASE("same_bits tells zeros and NaNs apart", "[support]") {
  CHECK(same_bits(Floats{kNan, 1.0f}, Floats{kNan, 1.0f}).ok);
  CHECK_FALSE(same_bits(Floats{-0.0f}, Floats{0.0f}).ok);
}

TEST_CASE("cosine of parallel, opposite and zero vectors", "[support]") {
  CHECK(cosine(Floats{1, 2}, Floats{2, 4}) == Approx(1.0));
  CHECK(cosine(Floats{1, 2}, Floats{-1, -2}) == Approx(-1.0));
  CHECK(std::isnan(cosine(Floats{0, 0}, Floats{1, 2})));
}
