// Products of a few tokens with the stored blocks directly. A warp, or several for long rows, has two rows of W. Each
// lane takes units of both (32 or 64 weights whose bits lie together) and multiplies them with all tokens. Sums are
// FP32, in an order that depends on the shape only.
//
// Quantised weights meet the activations' two INT8 planes in dot4. Limit: memory, that is the weights' bytes, as the
// activations stay in the L1 cache. With one token Q4_K takes some 2.6 instructions a weight (1 to unpack, 1.6 to
// multiply); an H100 could issue 4.8 in the time it takes to read the weight's 0.56 bytes. With eight tokens the
// instructions are the limit.
#pragma once

#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/product.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

constexpr int kMaxVectors = 8;  // tokens
constexpr int kVectorWarps = 8, kVectorThreads = 32 * kVectorWarps, kVectorRows = 2;

// A warp's share of the work: `split` warps share two rows, and this warp is number `part` of them.
struct WarpShare {
  int split, part;
  int64_t first_row;
  __device__ explicit WarpShare(int split_of) : split(split_of), part(int(threadIdx.x / 32) % split_of) {
    first_row = (int64_t(blockIdx.x) * (kVectorWarps / split) + threadIdx.x / 32 / split) * kVectorRows;
  }
  __device__ int begin() const { return part * 32 + int(threadIdx.x % 32); }
  __device__ int step() const { return 32 * split; }
};

// Adds up the lanes' sums, then the warps', and stores them. The whole block must call it.
template <int kTokens>
__device__ __forceinline__ void finish_sums(const WarpShare& share, float (&sums)[kVectorRows][kTokens], int n_tokens,
                                            const Store& store, const Rows<float>& y) {
  __shared__ float of_warp[kVectorWarps][kVectorRows * kTokens];
  REFORM_UNROLL
  for (int i = 0; i < kVectorRows * kTokens; ++i) {
    float sum = sums[i / kTokens][i % kTokens];
    for (int mask = 16; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32][i] = sum;
  }
  meet_block();
  const int i = int(threadIdx.x % 32), t = i % kTokens;
  const int64_t row = share.first_row + i / kTokens;
  if (share.part != 0 || i >= kVectorRows * kTokens || t >= n_tokens || row >= y.cols) return;
  float sum = 0;
  for (int part = 0; part < share.split; ++part) sum += of_warp[threadIdx.x / 32 + part][i];
  store(y.row(t) + row, row, sum);
}

// A run of the activations. product() is what it adds to a row's sum.
struct Run {
  Words4 high, low;
  float scale, sum;
  __device__ Run(const Narrow& x, int64_t t, int64_t c) {
    const int64_t at = t * x.stride + c;
    high = *reinterpret_cast<const Words4*>(x.high + at);
    low = *reinterpret_cast<const Words4*>(x.low + at);
    const Words2 run = *reinterpret_cast<const Words2*>(x.runs + at / kRun * 2);
    scale = bits_to_float(run.w[0]), sum = bits_to_float(run.w[1]);
  }
  template <class Format>
  __device__ float product(const typename Format::UnitOf& u, int j) const {
    int of_high = 0, of_low = 0;
    REFORM_UNROLL
    for (int k = 0; k < kRun / 4; ++k) {
      of_high = dot4(int(high.w[k]), int(u.q[j][k]), of_high);
      of_low = dot4(int(low.w[k]), int(u.q[j][k]), of_low);
    }
    const float dot = u.scale[j] * scale * float(256 * of_high + of_low);  // below 2^27: exact as an integer
    return Format::kHasOffset ? dot + u.offset[j] * sum : dot;
  }
};

// kAt is what the blocks' addresses are multiples of: the format's kAlign, or 2. Rows of y are tokens.
template <class Format, int kAt, int kTokens>
__global__ void __launch_bounds__(kVectorThreads)
    quant_vector_kernel(const uint8_t* w, int64_t cols, Narrow x, int n_tokens, int split, Store store, Rows<float> y) {
  const WarpShare share(split);
  const int64_t row_bytes = cols / Format::kElems * Format::kBytes;
  const uint8_t* rows[kVectorRows];
  REFORM_UNROLL
  for (int r = 0; r < kVectorRows; ++r) {  // past the end the last row is computed again and not stored
    rows[r] = w + (share.first_row + r < y.cols ? share.first_row + r : y.cols - 1) * row_bytes;
  }
  float sums[kVectorRows][kTokens] = {};
  const int n_units = int(cols / (kRun * Format::kRuns));
  for (int i = share.begin(); i < n_units; i += share.step()) {
    const int block = i / Format::kUnits, unit = i % Format::kUnits;
    typename Format::UnitOf u[kVectorRows];
    REFORM_UNROLL
    for (int r = 0; r < kVectorRows; ++r) {
      Format::template unpack<kAt>(rows[r] + int64_t(block) * Format::kBytes, unit, u[r]);
    }
    REFORM_UNROLL
    for (int j = 0; j < Format::kRuns; ++j) {
      REFORM_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        if (t > 0 && t >= n_tokens) continue;  // no branch for the first: its loads stay ahead of their use
        const Run run(x, t, int64_t(block) * Format::kElems + Format::first(unit, j));
        REFORM_UNROLL
        for (int r = 0; r < kVectorRows; ++r) sums[r][t] += run.product<Format>(u[r], j);
      }
    }
  }
  finish_sums<kTokens>(share, sums, n_tokens, store, y);
}

// Float weights, in FP32. A lane takes kPiece neighbours: 4 where weights and activations begin at multiples of the
// bytes of four, else 1. Limit: memory; some 3 instructions a weight and token.
template <class Format, int kPiece, int kTokens>
__global__ void __launch_bounds__(kVectorThreads)
    float_vector_kernel(const uint8_t* w, Rows<const float> x, int split, Store store, Rows<float> y) {
  const WarpShare share(split);
  float sums[kVectorRows][kTokens] = {};
  const int64_t n_pieces = x.cols / kPiece;
  const int n_tokens = int(x.rows);
  for (int64_t i = share.begin(); i < n_pieces; i += share.step()) {
    float weights[kVectorRows][kPiece];
    REFORM_UNROLL
    for (int r = 0; r < kVectorRows; ++r) {
      const int64_t row = share.first_row + r < y.cols ? share.first_row + r : y.cols - 1;
      const uint8_t* from = w + (row * x.cols + i * kPiece) * Format::kBytes;
      if constexpr (kPiece == 4) four_floats<Format>(from, weights[r]);
      if constexpr (kPiece == 1) weights[r][0] = float_at<Format>(from);
    }
    REFORM_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      if (t > 0 && t >= n_tokens) continue;
      float values[kPiece];
      const uint8_t* from = reinterpret_cast<const uint8_t*>(x.row(t) + i * kPiece);
      if constexpr (kPiece == 4) four_floats<F32>(from, values);
      if constexpr (kPiece == 1) values[0] = float_at<F32>(from);
      REFORM_UNROLL
      for (int r = 0; r < kVectorRows; ++r) {
        REFORM_UNROLL
        for (int k = 0; k < kPiece; ++k) sums[r][t] += weights[r][k] * values[k];
      }
    }
  }
  finish_sums<kTokens>(share, sums, n_tokens, store, y);
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
