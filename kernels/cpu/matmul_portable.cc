// The FP32 kernel in plain C++, for machines without AVX2; the compiler vectorises it as it can.
#include "kernels/cpu/matmul_kernels.h"

namespace reform::cpu {
namespace {

constexpr int kRows = 16, kTokens = 2;

template <int n_tokens>
void run_tile(const float* panel, int64_t n_cols, const float* x, int64_t x_stride, int n_rows, float* y,
              int64_t y_stride) {
  float sums[n_tokens][kRows] = {};
  for (int64_t c = 0; c < n_cols; ++c) {
    for (int t = 0; t < n_tokens; ++t) {
      const float value = x[t * x_stride + c];
      for (int r = 0; r < kRows; ++r) sums[t][r] += value * panel[c * kRows + r];
    }
  }
  for (int t = 0; t < n_tokens; ++t) {
    for (int r = 0; r < n_rows; ++r) y[t * y_stride + r] += sums[t][r];
  }
}

void run(const float* panel, int64_t n_cols, const float* x, int64_t x_stride, int n_tokens, int n_rows, float* y,
         int64_t y_stride) {
  if (n_tokens == 1) return run_tile<1>(panel, n_cols, x, x_stride, n_rows, y, y_stride);
  run_tile<kTokens>(panel, n_cols, x, x_stride, n_rows, y, y_stride);
}

}  // namespace

extern const FloatKernel kFloatKernelPortable = {kRows, kTokens, run};

}  // namespace reform::cpu
