// Below cpu::matmul: raw pointers and sizes only, so that the SIMD files, each compiled for its own instruction set,
// emit nothing that another file could link to (no inline function or template with external linkage lives here).
#pragma once

#include <stdint.h>

namespace reform::cpu {

// Elements of cols unpacked at a time: a panel of 32 rows is then 64 KiB in FP32, 16 KiB in INT8, and a whole number of
// every format's blocks.
constexpr int64_t kPanelCols = 512;

// FP32 panels: [n_cols, rows] floats, column-major as the kernel walks them; rows past the matrix are zero.
// run: y[t, r] += sum_c x[t, c] * panel[c, r] for t < n_tokens (at most `tokens`), r < n_rows (at most `rows`).
struct FloatKernel {
  int rows;
  int tokens;
  void (*run)(const float* panel, int64_t n_cols, const float* x, int64_t x_stride, int n_tokens, int n_rows, float* y,
              int64_t y_stride);
};

extern const FloatKernel kFloatKernelPortable;

}  // namespace reform::cpu
