#include "kernels/int8_states.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <vector>

using namespace reform;

TEST_CASE("int8 states: each value is within half a step of the state's largest", "[kernels]") {
  for (const float length : {1e-38f, 1e-6f, 1.0f, 3e4f, 1e38f}) {
    CAPTURE(length);
    std::vector<float> x, back(37);
    for (int i = 0; i < 37; ++i) x.push_back(length * float(std::sin(double(i) * 1.7)));
    std::vector<int8_t> q(x.size());
    const float scale = quantise_state(x, q.data());
    dequantise_state(q.data(), scale, back);
    float largest = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      CHECK(std::abs(back[i] - x[i]) <= 0.501f * scale);
      largest = std::max(largest, std::abs(x[i]));
    }
    CHECK(std::abs(127 * scale - largest) <= 1e-5f * largest);
  }
}

TEST_CASE("int8 states: zero and what is not finite become zeros", "[kernels]") {
  const float inf = std::numeric_limits<float>::infinity();
  for (const float odd : {0.0f, inf, -inf, std::nanf("")}) {
    const std::vector<float> x = {odd == 0.0f ? 0.0f : 1.0f, odd, 0.0f};
    std::vector<int8_t> q(x.size(), int8_t{5});
    CHECK(quantise_state(x, q.data()) == 0);
    for (const int8_t value : q) CHECK(value == 0);
  }
}
