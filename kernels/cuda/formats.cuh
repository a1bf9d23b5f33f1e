// One element of each weight format, as kernels/reference/dequant_*.cc define it (the layouts are described there), in
// the same order of roundings: d * scale first, then times q, then minus the minimum's product.
#pragma once

#include "base/quant_type.h"
#include "kernels/cuda/port.h"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

__device__ __forceinline__ uint16_t load_u16(const uint8_t* p) { return uint16_t(p[0] | p[1] << 8); }
__device__ __forceinline__ float load_half(const uint8_t* p) { return half_to_float(load_u16(p)); }

// Of the 4 and 5-bit formats of 32: the low four bits of element i, and its fifth.
__device__ __forceinline__ int low_bits(const uint8_t* qs, int i) { return i < 16 ? qs[i] & 15 : qs[i - 16] >> 4; }
__device__ __forceinline__ int fifth_bit(const uint8_t* qh, int i) { return (qh[i / 8] >> (i % 8) & 1) << 4; }

struct F32 {
  static constexpr int kElems = 1, kBytes = 4;
  static __device__ float at(const uint8_t* b, int) { return *reinterpret_cast<const float*>(b); }
};
struct F16 {
  static constexpr int kElems = 1, kBytes = 2;
  static __device__ float at(const uint8_t* b, int) { return load_half(b); }
};
struct BF16 {
  static constexpr int kElems = 1, kBytes = 2;
  static __device__ float at(const uint8_t* b, int) {
    union {
      uint32_t u;
      float f;
    } bits = {uint32_t(load_u16(b)) << 16};
    return bits.f;
  }
};
struct Q4_0 {
  static constexpr int kElems = 32, kBytes = 18;
  static __device__ float at(const uint8_t* b, int i) { return load_half(b) * float(low_bits(b + 2, i) - 8); }
};
struct Q4_1 {
  static constexpr int kElems = 32, kBytes = 20;
  static __device__ float at(const uint8_t* b, int i) {
    return round_product(load_half(b), float(low_bits(b + 4, i))) + load_half(b + 2);
  }
};
struct Q5_0 {
  static constexpr int kElems = 32, kBytes = 22;
  static __device__ float at(const uint8_t* b, int i) {
    return load_half(b) * float((low_bits(b + 6, i) | fifth_bit(b + 2, i)) - 16);
  }
};
struct Q5_1 {
  static constexpr int kElems = 32, kBytes = 24;
  static __device__ float at(const uint8_t* b, int i) {
    return round_product(load_half(b), float(low_bits(b + 8, i) | fifth_bit(b + 4, i))) + load_half(b + 2);
  }
};
struct Q8_0 {
  static constexpr int kElems = 32, kBytes = 34;
  static __device__ float at(const uint8_t* b, int i) { return load_half(b) * float(int8_t(b[2 + i])); }
};
struct Q2_K {
  static constexpr int kElems = 256, kBytes = 84;
  static __device__ float at(const uint8_t* b, int i) {
    const int q = b[16 + 32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3, scale_min = b[i / 16];
    return round_product(load_half(b + 80) * float(scale_min & 15), float(q)) -
           round_product(load_half(b + 82), float(scale_min >> 4));
  }
};
struct Q3_K {
  static constexpr int kElems = 256, kBytes = 110;
  static __device__ float at(const uint8_t* b, int i) {
    const uint8_t* packed = b + 96;
    const int s = i / 16;
    const int low = s < 8 ? packed[s] & 15 : packed[s - 8] >> 4, high = packed[8 + s % 4] >> (2 * (s / 4)) & 3;
    const int q = (b[32 + 32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3) - ((b[i % 32] >> (i / 32) & 1) ? 0 : 4);
    return load_half(b + 108) * float((low | high << 4) - 32) * float(q);
  }
};

// Q4_K's and Q5_K's six-bit scale and minimum of sub-block s.
struct ScaleMin {
  int scale, min;
};
__device__ __forceinline__ ScaleMin scale_min_at(const uint8_t* packed, int s) {
  if (s < 4) return {packed[s] & 63, packed[s + 4] & 63};
  const int low = packed[s + 4];
  return {(low & 15) | (packed[s - 4] >> 6) << 4, (low >> 4) | (packed[s] >> 6) << 4};
}
__device__ __forceinline__ float scaled(const uint8_t* b, int s, int q) {
  const ScaleMin sm = scale_min_at(b + 4, s);
  return round_product(load_half(b) * float(sm.scale), float(q)) - round_product(load_half(b + 2), float(sm.min));
}
struct Q4_K {
  static constexpr int kElems = 256, kBytes = 144;
  static __device__ float at(const uint8_t* b, int i) {
    const int s = i / 32;
    return scaled(b, s, b[16 + 32 * (s / 2) + i % 32] >> (4 * (s % 2)) & 15);
  }
};
struct Q5_K {
  static constexpr int kElems = 256, kBytes = 176;
  static __device__ float at(const uint8_t* b, int i) {
    const int s = i / 32, low = b[48 + 32 * (s / 2) + i % 32] >> (4 * (s % 2)) & 15;
    return scaled(b, s, low | (b[16 + i % 32] >> s & 1) << 4);
  }
};
struct Q6_K {
  static constexpr int kElems = 256, kBytes = 210;
  static __device__ float at(const uint8_t* b, int i) {
    const int half = i / 128, k = i % 128;
    const int low = b[64 * half + k % 64] >> (4 * (k / 64)) & 15;
    const int high = b[128 + 32 * half + k % 32] >> (2 * (k / 32)) & 3;
    return load_half(b + 208) * float(int8_t(b[192 + i / 16])) * float((low | high << 4) - 32);
  }
};

template <class... F>
struct FormatList {
  static constexpr int kCount = int(sizeof...(F));
};
// One per QuantType, in the enum's order.
using Formats = FormatList<F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K>;
static_assert(Formats::kCount == int(QuantType::kCount), "a new QuantType needs its format here");

// Calls fn(Format{}) for the format of `type`.
template <class Fn, class... F>
void with_format_of(FormatList<F...>, QuantType type, Fn fn) {
  int row = 0;
  ((row++ == int(type) ? fn(F{}) : void()), ...);
}
template <class Fn>
void with_format(QuantType type, Fn fn) {
  with_format_of(Formats{}, type, fn);
}

// Element (row, col) of a matrix of rows of blocks.
template <class Format>
__device__ __forceinline__ float weight_at(const uint8_t* data, int64_t cols, int64_t row, int64_t col) {
  const int64_t block = (row * cols + col) / Format::kElems;
  return Format::at(data + block * Format::kBytes, int(col % Format::kElems));
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
