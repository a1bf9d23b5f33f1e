// FP32 panels on AVX-512: 32 rows by 12 tokens, 24 sums in registers.
#include <immintrin.h>

#include "kernels/cpu/matmul_kernels.h"

namespace reform::cpu {
namespace {

constexpr int kRows = 32, kTokens = 12;

template <int n_tokens>
void run_tile(const float* panel, int64_t n_cols, const float* x, int64_t x_stride, int n_rows, float* y,
              int64_t y_stride) {
  __m512 sums[n_tokens][2];
  for (int t = 0; t < n_tokens; ++t) sums[t][0] = sums[t][1] = _mm512_setzero_ps();
  for (int64_t c = 0; c < n_cols; ++c) {
    const __m512 w0 = _mm512_load_ps(panel + c * kRows), w1 = _mm512_load_ps(panel + c * kRows + 16);
#pragma GCC unroll 12
    for (int t = 0; t < n_tokens; ++t) {
      const __m512 v = _mm512_set1_ps(x[t * x_stride + c]);
      sums[t][0] = _mm512_fmadd_ps(w0, v, sums[t][0]);
      sums[t][1] = _mm512_fmadd_ps(w1, v, sums[t][1]);
    }
  }
  const uint32_t rows = n_rows >= 32 ? ~0u : (1u << n_rows) - 1;
  for (int t = 0; t < n_tokens; ++t) {
    float* out = y + t * y_stride;
    const __mmask16 m0 = __mmask16(rows), m1 = __mmask16(rows >> 16);
    _mm512_mask_storeu_ps(out, m0, _mm512_add_ps(_mm512_maskz_loadu_ps(m0, out), sums[t][0]));
    _mm512_mask_storeu_ps(out + 16, m1, _mm512_add_ps(_mm512_maskz_loadu_ps(m1, out + 16), sums[t][1]));
  }
}

// Fewer than kTokens tokens go in tiles of 4, 2 and 1. A token's sum is the same in every tile.
void run(const float* panel, int64_t n_cols, const float* x, int64_t x_stride, int n_tokens, int n_rows, float* y,
         int64_t y_stride) {
  if (n_tokens == kTokens) return run_tile<kTokens>(panel, n_cols, x, x_stride, n_rows, y, y_stride);
  int t = 0;
  for (; t + 4 <= n_tokens; t += 4)
    run_tile<4>(panel, n_cols, x + t * x_stride, x_stride, n_rows, y + t * y_stride, y_stride);
  if (t + 2 <= n_tokens) {
    run_tile<2>(panel, n_cols, x + t * x_stride, x_stride, n_rows, y + t * y_stride, y_stride);
    t += 2;
  }
  if (t < n_tokens) run_tile<1>(panel, n_cols, x + t * x_stride, x_stride, n_rows, y + t * y_stride, y_stride);
}

}  // namespace

extern const FloatKernel kFloatKernelAvx512 = {kRows, kTokens, run};

}  // namespace reform::cpu
