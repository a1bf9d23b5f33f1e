// FP32 panels on AVX2 with FMA: 16 rows by 6 tokens, 12 sums in registers. Quantised types take this path too in long
// calls. Without VNNI, INT8 needs three instructions for 32 products where FMA needs four, and FP32 keeps weights and
// activations exact.
#include <immintrin.h>

#include "kernels/cpu/matmul_kernels.h"

namespace reform::cpu {
namespace {

constexpr int kRows = 16, kTokens = 6;

template <int n_tokens>
void run_tile(const float* panel, int64_t n_cols, const float* x, int64_t x_stride, int n_rows, float* y,
              int64_t y_stride) {
  __m256 sums[n_tokens][2];
  for (int t = 0; t < n_tokens; ++t) sums[t][0] = sums[t][1] = _mm256_setzero_ps();
  for (int64_t c = 0; c < n_cols; ++c) {
    const __m256 w0 = _mm256_load_ps(panel + c * kRows), w1 = _mm256_load_ps(panel + c * kRows + 8);
#pragma GCC unroll 6
    for (int t = 0; t < n_tokens; ++t) {
      const __m256 v = _mm256_broadcast_ss(x + t * x_stride + c);
      sums[t][0] = _mm256_fmadd_ps(w0, v, sums[t][0]);
      sums[t][1] = _mm256_fmadd_ps(w1, v, sums[t][1]);
    }
  }
  for (int t = 0; t < n_tokens; ++t) {
    float* out = y + t * y_stride;
    if (n_rows == kRows) {
      _mm256_storeu_ps(out, _mm256_add_ps(_mm256_loadu_ps(out), sums[t][0]));
      _mm256_storeu_ps(out + 8, _mm256_add_ps(_mm256_loadu_ps(out + 8), sums[t][1]));
      continue;
    }
    alignas(32) float dense[kRows];
    _mm256_store_ps(dense, sums[t][0]);
    _mm256_store_ps(dense + 8, sums[t][1]);
    for (int r = 0; r < n_rows; ++r) out[r] += dense[r];
  }
}

void run(const float* panel, int64_t n_cols, const float* x, int64_t x_stride, int n_tokens, int n_rows, float* y,
         int64_t y_stride) {
  switch (n_tokens) {
    case 1:
      return run_tile<1>(panel, n_cols, x, x_stride, n_rows, y, y_stride);
    case 2:
      return run_tile<2>(panel, n_cols, x, x_stride, n_rows, y, y_stride);
    case 3:
      return run_tile<3>(panel, n_cols, x, x_stride, n_rows, y, y_stride);
    case 4:
      return run_tile<4>(panel, n_cols, x, x_stride, n_rows, y, y_stride);
    case 5:
      return run_tile<5>(panel, n_cols, x, x_stride, n_rows, y, y_stride);
    default:
      return run_tile<6>(panel, n_cols, x, x_stride, n_rows, y, y_stride);
  }
}

}  // namespace

extern const FloatKernel kFloatKernelAvx2 = {kRows, kTokens, run};

}  // namespace reform::cpu
