// Unpacks weights to panels of F16 or BF16. A thread takes one unit of a quantised row (32 or 64 weights) and writes 32
// bytes at a time, or 8 neighbours of a row of floats and writes 16 bytes. Limit: memory, which is 2 bytes written for
// each weight and the bytes that it takes in the file; some 10 instructions a weight.
#pragma once

#include "kernels/cuda/elementwise.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

__device__ __forceinline__ uint32_t element_pair(Element element, float low, float high) {
  return uint32_t(to_element(element, low)) | uint32_t(to_element(element, high)) << 16;
}

// Unpacks rows [first, first + out.rows) of w. out's stride is its cols.
template <class Format, int kAt>
__global__ void quant_panel_kernel(const uint8_t* w, int64_t first, Rows<uint16_t> out, Element element) {
  const int64_t units_a_row = out.cols / (kRun * Format::kRuns);
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t r = i / units_a_row, unit = i % units_a_row, block = unit / Format::kUnits;
  if (r >= out.rows) return;
  const int unit_of_block = int(unit % Format::kUnits);
  typename Format::UnitOf u;
  const int64_t blocks_a_row = out.cols / Format::kElems;
  Format::template unpack<kAt>(w + ((first + r) * blocks_a_row + block) * Format::kBytes, unit_of_block, u);
  REFORM_UNROLL
  for (int j = 0; j < Format::kRuns; ++j) {
    uint16_t* to = out.row(r) + block * Format::kElems + Format::first(unit_of_block, j);
    REFORM_UNROLL
    for (int half = 0; half < kRun; half += 8) {
      Words4 eight;
      REFORM_UNROLL
      for (int k = 0; k < 4; ++k) {
        const int at = half + 2 * k;
        eight.w[k] = element_pair(element, weight_of<Format>(u, j, at), weight_of<Format>(u, j, at + 1));
      }
      *reinterpret_cast<Words4*>(to + half) = eight;
    }
  }
}

// out.cols is `cols` rounded up to a multiple of 8; the columns past `cols` become zero. kWhole: rows are whole numbers
// of 8 weights and begin at multiples of the bytes of four weights.
template <class Format, bool kWhole>
__global__ void float_panel_kernel(const uint8_t* w, int64_t cols, int64_t first, Rows<uint16_t> out, Element element) {
  const int64_t pieces = out.cols / 8, i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t r = i / pieces, c = i % pieces * 8;
  if (r >= out.rows) return;
  const uint8_t* from = w + ((first + r) * cols + c) * Format::kBytes;
  float values[8];
  if constexpr (kWhole) {
    float four[4];
    REFORM_UNROLL
    for (int k = 0; k < 8; ++k) {
      if (k % 4 == 0) four_floats<Format>(from + k * Format::kBytes, four);
      values[k] = four[k % 4];
    }
  } else {
    REFORM_UNROLL
    for (int k = 0; k < 8; ++k) values[k] = c + k < cols ? float_at<Format>(from + k * Format::kBytes) : 0.0f;
  }
  Words4 eight;
  REFORM_UNROLL
  for (int k = 0; k < 4; ++k) eight.w[k] = element_pair(element, values[2 * k], values[2 * k + 1]);
  *reinterpret_cast<Words4*>(out.row(r) + c) = eight;
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
