// y = x W^T. A few tokens: a warp per row of W, straight on the stored blocks, in FP32. Many: panels of W are
// dequantised to BF16 and multiplied on the tensor cores, with FP32 sums.
#pragma once

#include "kernels/cuda/product.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

constexpr int kMaxVectors = 8;  // tokens that the vector kernel takes
constexpr int kVectorThreads = 128;

template <class Format, int kTokens>
__global__ void matvec_kernel(const uint8_t* w, int64_t n_rows, Rows<const float> x, Store store, Rows<float> y) {
  const int64_t row = int64_t(blockIdx.x) * (kVectorThreads / 32) + threadIdx.x / 32;
  if (row >= n_rows) return;  // a whole warp or none of it
  float sums[kTokens] = {};
  for (int64_t c = threadIdx.x % 32; c < x.cols; c += 32) {
    const float value = weight_at<Format>(w, x.cols, row, c);
    for (int t = 0; t < kTokens; ++t) sums[t] += value * x.row(t)[c];
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int mask = 16; mask > 0; mask /= 2) sums[t] += shuffle_xor(sums[t], mask);
    if (threadIdx.x % 32 == 0) store(y.row(t) + row, row, sums[t]);
  }
}

// Rows [first, first + out.rows) of W as BF16; columns past `cols` are zero.
template <class Format>
__global__ void dequantise_kernel(const uint8_t* w, int64_t cols, int64_t first, Rows<uint16_t> out) {
  const int64_t c = int64_t(blockIdx.x) * blockDim.x + threadIdx.x, r = blockIdx.y;
  if (c >= out.cols) return;
  out.row(r)[c] = c < cols ? float_to_bfloat(weight_at<Format>(w, cols, first + r, c)) : uint16_t(0);
}

__global__ void to_bfloat_kernel(Rows<const float> x, Rows<uint16_t> out) {
  const int64_t c = int64_t(blockIdx.x) * blockDim.x + threadIdx.x, r = blockIdx.y;
  if (c < out.cols) out.row(r)[c] = c < x.cols ? float_to_bfloat(x.row(r)[c]) : uint16_t(0);
}

// --- fragments of tiles whose rows are `pitch` elements apart

__device__ __forceinline__ uint32_t pair_at(const uint16_t* p) { return *reinterpret_cast<const uint32_t*>(p); }

// The fragment of rows [row, row + 16) and columns [k, k + 16) of a tile of `pitch` elements a row.
__device__ __forceinline__ void load_a(const uint16_t* tile, int pitch, int row, int k, uint32_t (&a)[4]) {
  const int group = int(threadIdx.x % 32) / 4, in_group = int(threadIdx.x % 4);
  const uint16_t* at = tile + (row + group) * pitch + k + 2 * in_group;
  a[0] = pair_at(at), a[1] = pair_at(at + 8 * pitch), a[2] = pair_at(at + 8), a[3] = pair_at(at + 8 * pitch + 8);
}
// The fragment of columns k.. and outputs [row, row + 8), whose tile holds each output's values side by side.
__device__ __forceinline__ void load_b(const uint16_t* tile, int pitch, int row, int k, uint32_t (&b)[2]) {
  const int group = int(threadIdx.x % 32) / 4, in_group = int(threadIdx.x % 4);
  const uint16_t* at = tile + (row + group) * pitch + k + 2 * in_group;
  b[0] = pair_at(at), b[1] = pair_at(at + 8);
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
