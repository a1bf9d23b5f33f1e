// Matrices as kernels take them.
#pragma once

#include "kernels/cuda/port.h"
#include "kernels/ops.h"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

// A MatView that a kernel takes by value.
template <class T>
struct Rows {
  T* data;
  int64_t rows, cols, stride;
  __device__ T* row(int64_t r) const { return data + r * stride; }
};
template <class T>
Rows<T> rows_of(const MatView<T>& m) {
  return {m.data, m.rows, m.cols, m.stride_elems};
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
