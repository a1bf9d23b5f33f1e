// y = x W^T. A few tokens: a warp per row of W, straight on the stored blocks, in FP32. Many: panels of W are
// dequantised to BF16 and multiplied on the tensor cores, with FP32 sums.
#pragma once

#include "kernels/cuda/elementwise.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

// What becomes of a product: y = or += sum + bias.
struct Store {
  const float* bias;  // or nullptr
  bool accumulate;
  __device__ void operator()(float* y, int64_t row, float sum) const {
    if (bias != nullptr) sum += bias[row];
    *y = accumulate ? *y + sum : sum;
  }
};

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

// --- the product of two BF16 matrices of rows, a [tokens, depth] and b [rows, depth], depth a multiple of kDepth

constexpr int kTileTokens = 128, kTileRows = 64, kDepth = 32;
constexpr int kProductWarps = 4, kProductThreads = 32 * kProductWarps;
constexpr int kPitch = kDepth + 8;  // of a tile's row, in elements: the lanes of a fragment hit different banks

// A tile [n_rows, kDepth] from column `begin` on; rows past the matrix are zero. 16 bytes a thread and step.
__device__ __forceinline__ void load_tile(const Rows<const uint16_t>& m, int64_t first, int64_t begin, int n_rows,
                                          uint16_t* tile) {
  for (int i = int(threadIdx.x); i < n_rows * (kDepth / 8); i += kProductThreads) {
    const int r = i / (kDepth / 8), c = i % (kDepth / 8) * 8;
    uint64_t* to = reinterpret_cast<uint64_t*>(tile + r * kPitch + c);
    if (first + r < m.rows) {
      const uint64_t* from = reinterpret_cast<const uint64_t*>(m.row(first + r) + begin + c);
      to[0] = from[0], to[1] = from[1];
    } else {
      to[0] = to[1] = 0;
    }
  }
}

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

// Block (tile of tokens, tile of rows); each warp has a quarter of the tokens. y's columns begin at W's row
// `first_row`.
__global__ void __launch_bounds__(kProductThreads)
    product_kernel(Rows<const uint16_t> a, Rows<const uint16_t> b, int64_t first_row, Store store, Rows<float> y) {
  constexpr int kM = kTileTokens / kProductWarps / 16, kN = kTileRows / 8;
  __shared__ uint16_t a_tile[kTileTokens * kPitch] __attribute__((aligned(16)));
  __shared__ uint16_t b_tile[kTileRows * kPitch] __attribute__((aligned(16)));
  const int warp = int(threadIdx.x / 32), lane = int(threadIdx.x % 32);
  const int64_t first_token = int64_t(blockIdx.x) * kTileTokens, first_output = int64_t(blockIdx.y) * kTileRows;
  float sums[kM][kN][4] = {};
  for (int64_t begin = 0; begin < a.cols; begin += kDepth) {
    load_tile(a, first_token, begin, kTileTokens, a_tile);
    load_tile(b, first_output, begin, kTileRows, b_tile);
    meet_block();
    for (int k = 0; k < kDepth; k += 16) {
      uint32_t fa[kM][4], fb[2];
      for (int m = 0; m < kM; ++m) load_a(a_tile, kPitch, warp * kM * 16 + m * 16, k, fa[m]);
      for (int n = 0; n < kN; ++n) {
        load_b(b_tile, kPitch, n * 8, k, fb);
        for (int m = 0; m < kM; ++m) mma_bf16(sums[m][n], fa[m], fb);
      }
    }
    meet_block();
  }
  for (int m = 0; m < kM; ++m) {
    for (int n = 0; n < kN; ++n) {
      for (int i = 0; i < 4; ++i) {
        const int64_t token = first_token + warp * kM * 16 + m * 16 + lane / 4 + 8 * (i / 2);
        const int64_t output = first_output + n * 8 + lane % 4 * 2 + i % 2;
        if (token >= a.rows || output >= b.rows) continue;
        store(y.row(token) + first_row + output, first_row + output, sums[m][n][i]);
      }
    }
  }
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
