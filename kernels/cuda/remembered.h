// Remembers which activations have a copy in scratch that a later product may use.
#pragma once

#include <cstdint>

#include "base/views.h"
#include "kernels/cuda/port.h"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

// The activations that the copy in the workspace was made of. It is right only if every op reports its writes and
// CudaOptions::outside_writes counts every other write to the device's memory.
class Remembered {
 public:
  explicit Remembered(const int64_t* outside_writes) : outside_writes_(outside_writes) {}
  bool is_possible() const { return outside_writes_ != nullptr; }
  void set(MatView<const float> x) {
    if (is_possible()) x_ = x, outside_writes_then_ = *outside_writes_;
  }
  bool is(MatView<const float> x) const {
    return x_.data != nullptr && x.data == x_.data && x.rows == x_.rows && x.cols == x_.cols &&
           x.stride_elems == x_.stride_elems && *outside_writes_ == outside_writes_then_;
  }
  void forget() { x_ = {}; }
  void wrote(const void* data, int64_t bytes) {
    const auto begin = reinterpret_cast<uintptr_t>(data), mine = reinterpret_cast<uintptr_t>(x_.data);
    const int64_t mine_elems = (x_.rows - 1) * x_.stride_elems + x_.cols;
    const bool apart = x_.data == nullptr || bytes <= 0 || begin + uintptr_t(bytes) <= mine ||
                       mine + uintptr_t(mine_elems) * sizeof(float) <= begin;
    if (!apart) x_ = {};
  }
  void wrote(MatView<const float> m) {
    if (m.data != nullptr && m.rows > 0)
      wrote(m.data, ((m.rows - 1) * m.stride_elems + m.cols) * int64_t(sizeof(float)));
  }

 private:
  const int64_t* const outside_writes_;
  MatView<const float> x_;
  int64_t outside_writes_then_ = 0;
};

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
