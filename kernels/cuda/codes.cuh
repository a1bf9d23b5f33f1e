// Operands of FP8 products: matrices of e4m3 codes. A value is its code times the matrix's step; the step maps the
// largest value to 448. Two kernels find the largest value: one for each block's values, one over the blocks. A value
// that is not finite becomes NaN, so that it spoils the results it is part of and no others. Limit: memory; one byte is
// written for each value read.
#pragma once

#include "kernels/cuda/elementwise.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

// Elements of a 16-byte copy. Rows of codes begin at multiples of 16 bytes; from their last column to the next multiple
// they are zero.
constexpr int kCodePieceElems = 16;
constexpr float kLargestCode = 448.0f;
// A matrix whose largest value is below this counts as zero: the inverse of its step would overflow.
constexpr float kTinyMatrix = 1e-30f;

struct Step {
  float step, per_step;  // per_step = 1 / step
};

__device__ __forceinline__ bool is_finite(float v) { return fabsf(v) <= 3.4e38f; }
__device__ __forceinline__ float larger_of(float most, float v) { return is_finite(v) ? fmaxf(most, fabsf(v)) : most; }
__device__ __forceinline__ float in_steps(float v, float per_step) { return is_finite(v) ? v * per_step : NAN; }
__device__ __forceinline__ uint32_t four_codes(const float (&v)[4], float per_step) {
  return code_pair(in_steps(v[0], per_step), in_steps(v[1], per_step)) |
         code_pair(in_steps(v[2], per_step), in_steps(v[3], per_step)) << 16;
}

// of_block[i] = the largest magnitude of block i's values. For quantised weights: a thread per unit.
template <class Format, int kAt>
__global__ void quant_largest_kernel(const uint8_t* w, int64_t n_units, float* of_block) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  float most = 0;
  if (i < n_units) {
    typename Format::UnitOf u;
    Format::template unpack<kAt>(w + i / Format::kUnits * Format::kBytes, int(i % Format::kUnits), u);
    REFORM_UNROLL
    for (int j = 0; j < Format::kRuns; ++j) {
      REFORM_UNROLL
      for (int k = 0; k < kRun; ++k) most = larger_of(most, weight_of<Format>(u, j, k));
    }
  }
  most = block_max(most);
  if (threadIdx.x == 0) of_block[blockIdx.x] = most;
}

constexpr int kFloatsAThread = 8;

template <class Format>
__global__ void float_largest_kernel(const uint8_t* w, int64_t n_elems, float* of_block) {
  const int64_t begin = int64_t(blockIdx.x) * blockDim.x * kFloatsAThread + threadIdx.x;
  float most = 0;
  for (int k = 0; k < kFloatsAThread; ++k) {
    const int64_t i = begin + int64_t(k) * blockDim.x;
    if (i < n_elems) most = larger_of(most, float_at<Format>(w + i * Format::kBytes));
  }
  most = block_max(most);
  if (threadIdx.x == 0) of_block[blockIdx.x] = most;
}

// A block per row.
__global__ void row_largest_kernel(Rows<const float> x, float* of_block) {
  float most = 0;
  for (int64_t c = threadIdx.x; c < x.cols; c += blockDim.x) most = larger_of(most, x.row(blockIdx.x)[c]);
  most = block_max(most);
  if (threadIdx.x == 0) of_block[blockIdx.x] = most;
}

// One block.
__global__ void step_kernel(const float* of_block, int64_t n_blocks, Step* out) {
  float most = 0;
  for (int64_t i = threadIdx.x; i < n_blocks; i += blockDim.x) most = fmaxf(most, of_block[i]);
  most = block_max(most);
  if (threadIdx.x != 0) return;
  *out = most > kTinyMatrix ? Step{most / kLargestCode, kLargestCode / most} : Step{1.0f, 1.0f};
}

// Grid: (rows, groups of columns); each thread takes four columns. out.cols is x.cols rounded up to a whole piece.
// kWhole: x's rows are whole numbers of four and begin at multiples of 16 bytes.
template <bool kWhole>
__global__ void activation_codes_kernel(Rows<const float> x, const Step* step, Rows<uint8_t> out) {
  const int64_t t = blockIdx.x, c = (int64_t(blockIdx.y) * blockDim.x + threadIdx.x) * 4;
  if (c >= out.cols) return;
  float v[4] = {};
  if constexpr (kWhole) {
    if (c < x.cols) four_floats<F32>(reinterpret_cast<const uint8_t*>(x.row(t) + c), v);
  } else {
    for (int k = 0; k < 4; ++k) v[k] = c + k < x.cols ? x.row(t)[c + k] : 0.0f;
  }
  *reinterpret_cast<uint32_t*>(out.row(t) + c) = four_codes(v, step->per_step);
}

// Rows [first, first + out.rows) of w; a thread per unit. out's stride is its cols.
template <class Format, int kAt>
__global__ void quant_codes_kernel(const uint8_t* w, int64_t first, const Step* step, Rows<uint8_t> out) {
  const int64_t units_a_row = out.cols / (kRun * Format::kRuns);
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t r = i / units_a_row, unit = i % units_a_row, block = unit / Format::kUnits;
  if (r >= out.rows) return;
  const float per_step = step->per_step;
  const int unit_of_block = int(unit % Format::kUnits);
  typename Format::UnitOf u;
  Format::template unpack<kAt>(w + ((first + r) * (out.cols / Format::kElems) + block) * Format::kBytes, unit_of_block,
                               u);
  REFORM_UNROLL
  for (int j = 0; j < Format::kRuns; ++j) {
    Words4 run;
    REFORM_UNROLL
    for (int k = 0; k < 4; ++k) {
      const float v[4] = {weight_of<Format>(u, j, 4 * k), weight_of<Format>(u, j, 4 * k + 1),
                          weight_of<Format>(u, j, 4 * k + 2), weight_of<Format>(u, j, 4 * k + 3)};
      run.w[k] = four_codes(v, per_step);
    }
    *reinterpret_cast<Words4*>(out.row(r) + block * Format::kElems + Format::first(unit_of_block, j)) = run;
  }
}

// A thread per piece. out.cols is `cols` rounded up to a whole piece. kWhole: rows are whole numbers of four weights
// and begin at multiples of the bytes of four weights.
template <class Format, bool kWhole>
__global__ void float_codes_kernel(const uint8_t* w, int64_t cols, int64_t first, const Step* step, Rows<uint8_t> out) {
  const int64_t pieces = out.cols / kCodePieceElems, i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t r = i / pieces, c = i % pieces * kCodePieceElems;
  if (r >= out.rows) return;
  const float per_step = step->per_step;
  const uint8_t* from = w + ((first + r) * cols + c) * Format::kBytes;
  Words4 piece;
  REFORM_UNROLL
  for (int k = 0; k < 4; ++k) {
    float v[4] = {};
    if constexpr (kWhole) {
      if (c + 4 * k < cols) four_floats<Format>(from + 4 * k * Format::kBytes, v);
    } else {
      for (int j = 0; j < 4; ++j) {
        v[j] = c + 4 * k + j < cols ? float_at<Format>(from + (4 * k + j) * Format::kBytes) : 0.0f;
      }
    }
    piece.w[k] = four_codes(v, per_step);
  }
  *reinterpret_cast<Words4*>(out.row(r) + c) = piece;
}

// Grid: (rows, groups of columns). Needed because a library that multiplies codes takes no FP32 bias.
__global__ void add_bias_kernel(const float* bias, Rows<float> y) {
  const int64_t i = int64_t(blockIdx.y) * blockDim.x + threadIdx.x;
  if (i < y.cols) y.row(blockIdx.x)[i] += bias[i];
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
