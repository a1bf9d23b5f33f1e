// Weights as launches see them (where their bytes lie and how they are aligned), and grids over rows.
#pragma once

#include "kernels/cuda/elementwise.cuh"
#include "kernels/ops.h"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

inline int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline const uint8_t* bytes_of(const Weight& w) { return static_cast<const uint8_t*>(w.data); }
inline Dim over(int64_t n, int64_t rows) { return {unsigned((n + kRowThreads - 1) / kRowThreads), unsigned(rows)}; }
// Grid: (rows, groups of columns). Rows come first, as there may be more than the second dimension takes (65535).
inline Dim over_matrix(MatView<const float> m) {
  return {unsigned(m.rows), unsigned((m.cols + kRowThreads - 1) / kRowThreads)};
}

template <class Format>
bool aligned(const Weight& w) {
  return reinterpret_cast<uintptr_t>(w.data) % Format::kAlign == 0;
}
// Whether rows are whole numbers of four weights and begin at multiples of the bytes of four weights.
template <class Format>
bool whole_fours(const Weight& w) {
  return w.cols % 4 == 0 && reinterpret_cast<uintptr_t>(w.data) % (4 * Format::kBytes) == 0;
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
