// A product library of plain loops. It multiplies codes exactly, and 16-bit values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "base/float8.h"
#include "tests/kernels/cuda/elements.h"

namespace reform::test {

class PlainCodes final : public cuda::ProductLibrary {
 public:
  const char* name() const override { return "plain"; }

  bool multiply(const cuda::ProductCall& c, void* /*stream*/, std::span<std::byte> workspace) override {
    ++n_calls;
    std::fill(workspace.begin(), workspace.end(), std::byte{0xff});
    each(c, [&](int64_t t, int64_t r) {
      double sum = c.bias != nullptr ? double(c.bias[r]) : 0.0;
      for (int64_t k = 0; k < c.depth; ++k) {
        sum +=
            double(value_of(c.element, c.x[t * c.x_stride + k])) * double(value_of(c.element, c.w[r * c.w_stride + k]));
      }
      return sum;
    });
    return true;
  }

  bool multiply_codes(const cuda::CodeProductCall& c, void* /*stream*/, std::span<std::byte> workspace) override {
    if (n_code_calls == n_before_refusal) return false;
    if (c.depth % 16 != 0 || c.x_stride % 16 != 0 || c.w_stride % 16 != 0) return false;
    ++n_code_calls;
    n_code_rows += c.n_rows;
    std::fill(workspace.begin(), workspace.end(), std::byte{0xff});
    const double step = double(*c.x_step) * double(*c.w_step);
    each(c, [&](int64_t t, int64_t r) {
      double sum = 0;
      for (int64_t k = 0; k < c.depth; ++k) {
        sum += double(e4m3_to_f32(c.x[t * c.x_stride + k])) * double(e4m3_to_f32(c.w[r * c.w_stride + k]));
      }
      return step * sum;
    });
    return true;
  }

  int n_calls = 0, n_code_calls = 0;
  int64_t n_code_rows = 0;
  int n_before_refusal = std::numeric_limits<int>::max();

 private:
  template <class Call, class Sum>
  static void each(const Call& c, Sum sum) {
    for (int64_t t = 0; t < c.n_tokens; ++t) {
      for (int64_t r = 0; r < c.n_rows; ++r) {
        float& y = c.y[t * c.y_stride + r];
        y = float((c.accumulate ? double(y) : 0.0) + sum(t, r));
      }
    }
  }
};

}  // namespace reform::test
