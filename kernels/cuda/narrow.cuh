// Activations as products take them. The tensor cores take F16 or BF16. Products of a few tokens take 16 bits in two
// INT8 planes, value = scale * (256 high + low), with a scale for each run of 16. One plane alone costs a small model 8
// of 200 top tokens.
#pragma once

#include "kernels/cuda/formats.cuh"
#include "kernels/cuda/product_library.h"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

constexpr float kLargestActivation = 32639.0f;  // so that high is in [-127, 127] and low in [-128, 127]
constexpr float kTinyActivation = 1e-34f;       // a run below this counts as zero: its scale's inverse would overflow

// F16 would store a value beyond its range as infinity, and one infinite key spoils a whole row of attention.
__device__ __forceinline__ uint16_t saturated_half(float x) {
  return float_to_half(x != x ? x : fminf(fmaxf(x, -65504.0f), 65504.0f));
}
// A NaN or an infinity stays one, so that the result shows it.
__device__ __forceinline__ uint16_t to_element(Element element, float x) {
  if (element == Element::kBf16) return float_to_bfloat(x);
  return fabsf(x) <= 3.4e38f ? saturated_half(x) : float_to_half(x);
}

// Where a copy of activations goes: to `elements`; or to the planes and `runs`; or nowhere.
struct Narrow {
  uint16_t* elements;  // [n_tokens, stride], zero past the columns
  int8_t *high, *low;  // the planes [n_tokens, stride], zero past the columns
  float* runs;         // [n_tokens, stride / 16, 2]: a run's scale, and the sum of its values
  int64_t stride;      // for planes a multiple of 32
  Element element;
};

__device__ __forceinline__ void write_planes(const Narrow& n, int64_t t, int64_t c, float value) {
  float largest = fabsf(value) <= 3.4e38f ? fabsf(value) : INFINITY;  // a NaN becomes infinity
  for (int mask = kRun / 2; mask > 0; mask /= 2) largest = fmaxf(largest, shuffle_xor(largest, mask));
  const bool finite = largest <= 3.4e38f, zero = !finite || largest < kTinyActivation;
  const int q = zero ? 0 : int(rintf(value * (kLargestActivation / largest)));
  int sum = q;
  for (int mask = kRun / 2; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
  if (c >= n.stride) return;
  const int high = (q + 128) >> 8;
  n.high[t * n.stride + c] = int8_t(high);
  n.low[t * n.stride + c] = int8_t(q - 256 * high);
  if (c % kRun != 0) return;
  const float scale = zero ? (finite ? 0.0f : NAN) : largest / kLargestActivation;
  float* run = n.runs + (t * n.stride + c) / kRun * 2;
  run[0] = scale, run[1] = scale * float(sum);
}

// Whole warps call this: lane l has column c = a multiple of 32, plus l. `value` is zero past the columns.
__device__ __forceinline__ void write_narrow(const Narrow& n, int64_t t, int64_t c, float value) {
  if (n.elements != nullptr && c < n.stride) n.elements[t * n.stride + c] = to_element(n.element, value);
  if (n.high != nullptr) write_planes(n, t, c, value);
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
