// The largest of a row of logits, by one block. Each thread reads a stride of the row. 128k logits are 512 KB, which
// takes microseconds; copying them to the host would make each token's decode wait.
#pragma once

#include "kernels/cuda/elementwise.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

constexpr int kArgmaxThreads = 1024;

struct Largest {
  float value;
  int id;
  // Whether the other comes before this one. A NaN never does.
  __device__ bool gives_way_to(float v, int i) const { return v > value || (v == value && i < id); }
};

__device__ __forceinline__ Largest largest_of_warp(Largest best) {
  for (int mask = 16; mask > 0; mask /= 2) {
    const float value = shuffle_xor(best.value, mask);
    const int id = shuffle_xor(best.id, mask);
    if (best.gives_way_to(value, id)) best = {value, id};
  }
  return best;
}

__global__ void __launch_bounds__(kArgmaxThreads) argmax_kernel(const float* logits, int64_t n, int32_t* id) {
  __shared__ float values[32];
  __shared__ int ids[32];
  Largest best{-INFINITY, 0};
  for (int64_t i = threadIdx.x; i < n; i += kArgmaxThreads) {
    if (logits[i] > best.value) best = {logits[i], int(i)};  // ascending: of equals a thread keeps its first
  }
  best = largest_of_warp(best);
  if (threadIdx.x % 32 == 0) values[threadIdx.x / 32] = best.value, ids[threadIdx.x / 32] = best.id;
  meet_block();
  if (threadIdx.x >= 32) return;
  best = largest_of_warp({values[threadIdx.x], ids[threadIdx.x]});
  if (threadIdx.x == 0) *id = best.id;
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
