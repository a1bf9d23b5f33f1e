// The ways to compute a matrix product. matmul.cc chooses one by instruction set, weight type and number of tokens.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "kernels/cpu/matmul_kernels.h"
#include "kernels/ops.h"

namespace reform::cpu {

struct MatmulCall {
  const Weight& w;              // [rows, cols]
  MatView<const float> x;       // [n_tokens, cols]
  std::span<const float> bias;  // [rows] or empty
  bool accumulate = false;
  MatView<float> y;  // [n_tokens, rows]
  ThreadPool& pool;
  std::span<std::byte> workspace;
};

inline const void* weight_at(const Weight& w, int64_t row, int64_t col) {
  return static_cast<const std::byte*>(w.data) + row * row_bytes(w.type, w.cols) + row_bytes(w.type, col);
}

// y = bias, or y += bias, for rows [row_begin, row_end) of the weights. The panel kernels then add to it.
void start_sums(const MatmulCall& call, int64_t token_begin, int64_t token_end, int64_t row_begin, int64_t row_end);

void matmul_reference(const MatmulCall& call);

// Panels of weights dequantised to FP32: exact weights and activations, FP32 sums.
int64_t float_path_bytes(int n_threads);
// Where `fill` is null, dequantise() fills the panels.
void matmul_float(const FloatKernel& kernel, FillPanelFn fill, const MatmulCall& call);

// Panels of weights unpacked to INT8, activations in two INT8 planes, FP32 sums.
int64_t int8_path_bytes(int64_t max_tokens, int64_t max_cols, int n_threads);
void matmul_int8(PackTileFn pack, const Int8Kernel& kernel, const MatmulCall& call);

// Few tokens, directly on the blocks: INT8 activations, or FP32 ones for float weights (no workspace).
int64_t matvec_path_bytes(int64_t max_tokens, int64_t max_cols);
void matmul_matvec(PackRowFn pack, MatVecFn run, const MatmulCall& call);
void matmul_float_matvec(FloatMatVecFn run, const MatmulCall& call);

}  // namespace reform::cpu
