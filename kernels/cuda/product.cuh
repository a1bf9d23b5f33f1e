// The product of two matrices of rows, both F16 or both BF16, on the tensor cores (mma.sync), sums in FP32. It serves
// where there is no cuBLASLt. A block of eight warps makes 128 tokens x 128 rows. Four stages of asynchronous copies
// run ahead of the multiplications. Limit: the chip's mma.sync rate; a step of a block moves 16 KiB for 1 MFLOP.
#pragma once

#include "kernels/cuda/elementwise.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

// What happens to a product: y = sum + bias, or y += sum + bias.
struct Store {
  const float* bias;  // or nullptr
  bool accumulate;
  __device__ void operator()(float* y, int64_t row, float sum) const {
    if (bias != nullptr) sum += bias[row];
    *y = accumulate ? *y + sum : sum;
  }
};

// Elements of a 16-byte copy. Rows of operands begin at multiples of 16 bytes. Past `cols` they either end or are zero
// up to the next multiple of kPieceElems.
constexpr int kPieceElems = 8;

constexpr int kTileTokens = 128, kTileRows = 128, kTileDepth = 32, kStages = 4;
constexpr int kProductThreads = 256;
constexpr int kTileBytes = 128 * kTileDepth * 2;
constexpr int kProductBytes = kStages * 2 * kTileBytes;  // shared memory
static_assert(kTileTokens == 128 && kTileRows == 128, "kTileBytes is of either");

// Where a piece lies in a tile, in elements. A tile's rows are 64 bytes. The order of the pieces in a row depends on
// the row, so that the eight rows of an ldmatrix matrix, and the eight threads of a copy, fall on different banks.
__device__ __forceinline__ int piece_at(int row, int piece) {
  return row * kTileDepth + (piece ^ (row / 2 % 4)) * kPieceElems;
}

// Starts the copies of rows [first, first + 128) and columns [begin, begin + kTileDepth). Elements outside the matrix
// become zero.
__device__ __forceinline__ void start_tile(const Rows<const uint16_t>& m, int64_t first, int64_t begin,
                                           uint16_t* tile) {
  constexpr int kPieces = kTileDepth / kPieceElems;
  for (int i = int(threadIdx.x); i < 128 * kPieces; i += kProductThreads) {
    const int r = i / kPieces, piece = i % kPieces;
    const int64_t at = begin + piece * kPieceElems;
    const bool there = first + r < m.rows && at < m.cols;
    const int n_bytes = there ? (m.cols - at < kPieceElems ? int(m.cols - at) * 2 : 16) : 0;
    copy_async(tile + piece_at(r, piece), there ? m.row(first + r) + at : m.data, n_bytes);
  }
}

// Loads the fragment of tokens [row, row + 16) and columns [k, k + 16).
__device__ __forceinline__ void load_tokens(const uint16_t* tile, int row, int k, uint32_t (&a)[4]) {
  const int lane = int(threadIdx.x % 32);
  load_matrices(a, tile + piece_at(row + lane % 16, k / kPieceElems + lane / 16));
}
// Loads two fragments of columns [k, k + 16): outputs [row, row + 8) and the next eight.
__device__ __forceinline__ void load_outputs(const uint16_t* tile, int row, int k, uint32_t (&b)[4]) {
  const int lane = int(threadIdx.x % 32);
  load_matrices(b, tile + piece_at(row + lane % 8 + lane / 16 * 8, k / kPieceElems + lane / 8 % 2));
}

// The warp's share: 64 tokens x 32 outputs.
constexpr int kWarpTokens = 64, kWarpOutputs = 32, kM = kWarpTokens / 16, kN = kWarpOutputs / 8;

template <Element kElement>
__device__ __forceinline__ void multiply_tiles(const uint16_t* a_tile, const uint16_t* b_tile, int token, int output,
                                               float (&sums)[kM][kN][4]) {
  REFORM_UNROLL
  for (int k = 0; k < kTileDepth; k += 16) {
    uint32_t a[kM][4], b[kN / 2][4];
    REFORM_UNROLL
    for (int m = 0; m < kM; ++m) load_tokens(a_tile, token + m * 16, k, a[m]);
    REFORM_UNROLL
    for (int n = 0; n < kN / 2; ++n) load_outputs(b_tile, output + n * 16, k, b[n]);
    REFORM_UNROLL
    for (int n = 0; n < kN; ++n) {
      const uint32_t of_n[2] = {b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]};
      REFORM_UNROLL
      for (int m = 0; m < kM; ++m) {
        if constexpr (kElement == Element::kF16) mma_f16(sums[m][n], a[m], of_n);
        if constexpr (kElement == Element::kBf16) mma_bf16(sums[m][n], a[m], of_n);
      }
    }
  }
}

// x [tokens, depth], w [rows, depth], y [tokens, rows]. `store` gets row numbers of w, which are y's columns.
// Consecutive blocks take the same rows of w, so that blocks that run together share them.
template <Element kElement>
__global__ void __launch_bounds__(kProductThreads, 2)
    product_kernel(Rows<const uint16_t> x, Rows<const uint16_t> w, Store store, Rows<float> y) {
  uint16_t* const tiles = dynamic_shared<uint16_t>();
  const auto x_tile = [&](int64_t step) { return tiles + step % kStages * (2 * kTileBytes / 2); };
  const auto w_tile = [&](int64_t step) { return x_tile(step) + kTileBytes / 2; };
  const int64_t token_tiles = (x.rows + kTileTokens - 1) / kTileTokens;
  const int64_t first_token = blockIdx.x % token_tiles * kTileTokens;
  const int64_t first_output = blockIdx.x / token_tiles * kTileRows;
  const int warp = int(threadIdx.x / 32), lane = int(threadIdx.x % 32);
  const int token = warp % 2 * kWarpTokens, output = warp / 2 * kWarpOutputs;
  const int64_t n_steps = (x.cols + kTileDepth - 1) / kTileDepth;
  const auto start = [&](int64_t step) {
    if (step < n_steps) {
      start_tile(x, first_token, step * kTileDepth, x_tile(step));
      start_tile(w, first_output, step * kTileDepth, w_tile(step));
    }
    commit_copies();  // empty at the end: wait_copies() counts groups
  };
  for (int64_t step = 0; step < kStages - 1; ++step) start(step);
  float sums[kM][kN][4] = {};
  for (int64_t step = 0; step < n_steps; ++step) {
    wait_copies<kStages - 2>();
    meet_block();  // all copies of this step have arrived, and all warps have read the stage that is filled next
    start(step + kStages - 1);
    multiply_tiles<kElement>(x_tile(step), w_tile(step), token, output, sums);
  }
  REFORM_UNROLL
  for (int m = 0; m < kM; ++m) {
    REFORM_UNROLL
    for (int n = 0; n < kN; ++n) {
      REFORM_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int64_t t = first_token + token + m * 16 + lane / 4 + 8 * (i / 2);
        const int64_t r = first_output + output + n * 8 + lane % 4 * 2 + i % 2;
        if (t < y.rows && r < y.cols) store(y.row(t) + r, r, sums[m][n][i]);
      }
    }
  }
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
