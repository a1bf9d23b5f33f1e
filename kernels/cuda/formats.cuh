// The weight formats as kernels/reference/dequant_*.cc define them, with the same order of roundings; the layouts are
// described there. A quantised format unpacks into units: kRuns runs of 16 neighbouring weights whose bits lie
// together, as INT8 words, with a scale and an offset for each run: weight = scale * q + offset. Blocks begin at
// multiples of 2 bytes. If kAlign > 2, most begin at multiples of kAlign. No load leaves its block.
#pragma once

#include "base/quant_type.h"
#include "kernels/cuda/port.h"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

constexpr int kRun = 16;  // weights

template <int kRunsOf>
struct Unit {
  uint32_t q[kRunsOf][kRun / 4];  // INT8, the first weight lowest
  float scale[kRunsOf], offset[kRunsOf];
};

__device__ __forceinline__ uint16_t load_u16(const uint8_t* p) { return *reinterpret_cast<const uint16_t*>(p); }
__device__ __forceinline__ uint32_t load_u32(const uint8_t* p) { return *reinterpret_cast<const uint32_t*>(p); }
__device__ __forceinline__ float load_half(const uint8_t* p) { return half_to_float(load_u16(p)); }

// Loads words from p, a multiple of kAlign. If kAlign is 2, p may lie across two words, and each result is put together
// from both. That reads two more bytes: those before p (kSpare -2) or those after the words (kSpare 2).
template <int kAlign, int kSpare, int kWords>
__device__ __forceinline__ void load_words(const uint8_t* p, uint32_t (&w)[kWords]) {
  static_assert(kAlign == 2 || kAlign == 4 || (kAlign == 16 && kWords % 4 == 0));
  static_assert(kSpare == -2 || kSpare == 2);
  if constexpr (kAlign == 16) {
    REFORM_UNROLL
    for (int i = 0; i < kWords; i += 4) {
      const Words4 four = *reinterpret_cast<const Words4*>(p + 4 * i);
      w[i] = four.w[0], w[i + 1] = four.w[1], w[i + 2] = four.w[2], w[i + 3] = four.w[3];
    }
  } else if constexpr (kAlign == 4) {
    REFORM_UNROLL
    for (int i = 0; i < kWords; ++i) w[i] = load_u32(p + 4 * i);
  } else {
    const bool across = reinterpret_cast<uintptr_t>(p) % 4 != 0;
    const uint8_t* whole = across ? p + kSpare : p;
    REFORM_UNROLL
    for (int i = 0; i < kWords; ++i) w[i] = load_u32(whole + 4 * i);
    if constexpr (kSpare < 0) {  // each word ends in the lower half of the next
      uint32_t next = load_u16(p + 4 * kWords - 2);
      REFORM_UNROLL
      for (int i = kWords - 1; i >= 0; --i) {
        const uint32_t own = w[i];
        if (across) w[i] = own >> 16 | next << 16;
        next = own;
      }
    } else {  // each word begins in the upper half of the one before
      uint32_t before = uint32_t(load_u16(p)) << 16;
      REFORM_UNROLL
      for (int i = 0; i < kWords; ++i) {
        const uint32_t own = w[i];
        if (across) w[i] = before >> 16 | own << 16;
        before = own;
      }
    }
  }
}

// Subtracts kZero from four bytes, each in [0, 2 kZero). No byte carries into the next.
template <int kZero>
__device__ __forceinline__ uint32_t centred(uint32_t q) {
  return (q + 0x01010101u * (128 - kZero)) ^ 0x80808080u;
}
__device__ __forceinline__ uint32_t low_bits(uint32_t w) { return w & 0x0f0f0f0fu; }
__device__ __forceinline__ uint32_t high_bits(uint32_t w) { return w >> 4 & 0x0f0f0f0fu; }
// Of each byte: two bits from bit `at` on, or one bit.
__device__ __forceinline__ uint32_t two_bits(uint32_t w, int at) { return w >> at & 0x03030303u; }
__device__ __forceinline__ uint32_t one_bit(uint32_t w, int at) { return w >> at & 0x01010101u; }
// Bits [at, at + 4), each as the lowest bit of a byte.
__device__ __forceinline__ uint32_t spread_bits(uint32_t w, int at) {
  return (w >> at & 15u) * 0x00204081u & 0x01010101u;
}
__device__ __forceinline__ int byte_of(uint32_t w, int i) { return int(w >> (8 * i) & 255u); }

struct FloatFormat {
  static constexpr bool kIsFloat = true;
  static constexpr int kElems = 1;
};
struct F32 : FloatFormat {
  static constexpr int kBytes = 4;
  static __device__ float value(uint32_t bits) { return bits_to_float(bits); }
};
struct F16 : FloatFormat {
  static constexpr int kBytes = 2;
  static __device__ float value(uint32_t bits) { return half_to_float(uint16_t(bits)); }
};
struct BF16 : FloatFormat {
  static constexpr int kBytes = 2;
  static __device__ float value(uint32_t bits) { return bits_to_float(bits << 16); }
};
template <class Format>
__device__ __forceinline__ float float_at(const uint8_t* p) {
  return Format::value(Format::kBytes == 4 ? load_u32(p) : load_u16(p));
}
// Four values from p, a multiple of the bytes of four.
template <class Format>
__device__ __forceinline__ void four_floats(const uint8_t* p, float (&out)[4]) {
  if constexpr (Format::kBytes == 4) {
    const Words4 w = *reinterpret_cast<const Words4*>(p);
    REFORM_UNROLL
    for (int i = 0; i < 4; ++i) out[i] = Format::value(w.w[i]);
  } else {
    const Words2 w = *reinterpret_cast<const Words2*>(p);
    REFORM_UNROLL
    for (int i = 0; i < 4; ++i) out[i] = Format::value(w.w[i / 2] >> (16 * (i % 2)) & 0xffffu);
  }
}

// A unit has kRunsOf runs. A block of 32 is one unit, and its halves are the runs. In a block of 256, each of a unit's
// runs lies 32 weights after the one before.
template <int kElemsOf, int kBytesOf, int kRunsOf, int kAlignOf, bool kHasOffsetOf>
struct QuantFormat {
  static constexpr bool kIsFloat = false, kHasOffset = kHasOffsetOf;
  static constexpr int kElems = kElemsOf, kBytes = kBytesOf, kRuns = kRunsOf, kAlign = kAlignOf;
  static constexpr int kUnits = kElems / (kRun * kRuns);
  using UnitOf = Unit<kRuns>;
  // The position in its block of a run's first weight.
  static __device__ int first(int unit, int run) {
    return kElems == 32 ? kRun * run : 32 * kRuns * (unit / 2) + 32 * run + kRun * (unit % 2);
  }
  static __device__ void same_scale(UnitOf& u, float scale, float offset) {
    for (int j = 0; j < kRuns; ++j) u.scale[j] = scale, u.offset[j] = offset;
  }
};

struct Q4_0 : QuantFormat<32, 18, 2, 2, false> {
  template <int kAt>
  static __device__ void unpack(const uint8_t* b, int, UnitOf& u) {
    uint32_t qs[4];
    load_words<2, -2>(b + 2, qs);
    REFORM_UNROLL
    for (int k = 0; k < 4; ++k) u.q[0][k] = centred<8>(low_bits(qs[k])), u.q[1][k] = centred<8>(high_bits(qs[k]));
    same_scale(u, load_half(b), 0);
  }
};
struct Q4_1 : QuantFormat<32, 20, 2, 4, true> {
  template <int kAt>
  static __device__ void unpack(const uint8_t* b, int, UnitOf& u) {
    uint32_t qs[4];
    load_words<kAt, -2>(b + 4, qs);
    REFORM_UNROLL
    for (int k = 0; k < 4; ++k) u.q[0][k] = low_bits(qs[k]), u.q[1][k] = high_bits(qs[k]);
    same_scale(u, load_half(b), load_half(b + 2));
  }
};
struct Q5_0 : QuantFormat<32, 22, 2, 2, false> {
  template <int kAt>
  static __device__ void unpack(const uint8_t* b, int, UnitOf& u) {
    uint32_t w[5];  // w[0]: the fifth bits; the rest: the lower four
    load_words<2, -2>(b + 2, w);
    REFORM_UNROLL
    for (int k = 0; k < 4; ++k) {
      u.q[0][k] = centred<16>(low_bits(w[k + 1]) | spread_bits(w[0], 4 * k) << 4);
      u.q[1][k] = centred<16>(high_bits(w[k + 1]) | spread_bits(w[0], 16 + 4 * k) << 4);
    }
    same_scale(u, load_half(b), 0);
  }
};
struct Q5_1 : QuantFormat<32, 24, 2, 4, true> {
  template <int kAt>
  static __device__ void unpack(const uint8_t* b, int, UnitOf& u) {
    uint32_t w[5];
    load_words<kAt, -2>(b + 4, w);
    REFORM_UNROLL
    for (int k = 0; k < 4; ++k) {
      u.q[0][k] = low_bits(w[k + 1]) | spread_bits(w[0], 4 * k) << 4;
      u.q[1][k] = high_bits(w[k + 1]) | spread_bits(w[0], 16 + 4 * k) << 4;
    }
    same_scale(u, load_half(b), load_half(b + 2));
  }
};
struct Q8_0 : QuantFormat<32, 34, 2, 2, false> {
  template <int kAt>
  static __device__ void unpack(const uint8_t* b, int, UnitOf& u) {
    uint32_t w[8];
    load_words<2, -2>(b + 2, w);
    REFORM_UNROLL
    for (int k = 0; k < 4; ++k) u.q[0][k] = w[k], u.q[1][k] = w[4 + k];
    same_scale(u, load_half(b), 0);
  }
};

// The formats of 256 with a scale per 16 weights have four runs a unit. Unit u takes half u % 2 of each 32 weights, and
// the scale of its run j is number 8 (u / 2) + 2 j + u % 2.
struct Q2_K : QuantFormat<256, 84, 4, 4, true> {
  template <int kAt>
  static __device__ void unpack(const uint8_t* b, int unit, UnitOf& u) {
    uint32_t scales[2], qs[4];
    load_words<kAt, 2>(b + 8 * (unit / 2), scales);
    load_words<kAt, 2>(b + 16 + 32 * (unit / 2) + 16 * (unit % 2), qs);
    const float d = load_half(b + 80), min = load_half(b + 82);
    REFORM_UNROLL
    for (int j = 0; j < 4; ++j) {
      const int scale_min = byte_of(scales[j / 2], j % 2 * 2 + unit % 2);
      u.scale[j] = round_product(d, float(scale_min & 15));
      u.offset[j] = -round_product(min, float(scale_min >> 4));
      REFORM_UNROLL
      for (int k = 0; k < 4; ++k) u.q[j][k] = two_bits(qs[k], 2 * j);
    }
  }
};
struct Q3_K : QuantFormat<256, 110, 4, 2, false> {
  template <int kAt>
  static __device__ void unpack(const uint8_t* b, int unit, UnitOf& u) {
    const int half = unit / 2, part = unit % 2;
    uint32_t high[4], qs[4], scales[3];
    load_words<2, 2>(b + 16 * part, high);
    load_words<2, 2>(b + 32 + 32 * half + 16 * part, qs);
    load_words<2, 2>(b + 96, scales);
    const float d = load_half(b + 108);
    REFORM_UNROLL
    for (int j = 0; j < 4; ++j) {
      const int at = j % 2 * 2 + part;  // which of its four scales
      const int low = byte_of(scales[j / 2], at) >> (4 * half) & 15;
      const int top = byte_of(scales[2], at) >> (2 * (2 * half + j / 2)) & 3;
      u.scale[j] = round_product(d, float((low | top << 4) - 32)), u.offset[j] = 0;
      REFORM_UNROLL
      for (int k = 0; k < 4; ++k) u.q[j][k] = centred<4>(two_bits(qs[k], 2 * j) | one_bit(high[k], 4 * half + j) << 2);
    }
  }
};

// The six-bit scales and minimums of Q4_K's and Q5_K's sub-blocks 2 * pair and 2 * pair + 1, in the two lowest bytes.
struct ScaleMins {
  uint32_t scales, mins;
};
__device__ __forceinline__ ScaleMins scale_mins_of(const uint32_t (&header)[4], int pair) {
  const int at = 16 * (pair % 2);
  const uint32_t a = header[1] >> at, b = header[2] >> at, c = header[3] >> at;
  if (pair < 2) return {a & 0x3f3fu, b & 0x3f3fu};
  return {(c & 0x0f0fu) | (a >> 2 & 0x3030u), (c >> 4 & 0x0f0fu) | (b >> 2 & 0x3030u)};
}
template <class UnitOf>
__device__ __forceinline__ void scale_pair(const uint32_t (&header)[4], int pair, UnitOf& u) {
  const ScaleMins sm = scale_mins_of(header, pair);
  const float d = half_to_float(uint16_t(header[0])), min = half_to_float(uint16_t(header[0] >> 16));
  REFORM_UNROLL
  for (int j = 0; j < 2; ++j) {
    u.scale[j] = round_product(d, float(byte_of(sm.scales, j)));
    u.offset[j] = -round_product(min, float(byte_of(sm.mins, j)));
  }
}
struct Q4_K : QuantFormat<256, 144, 2, 16, true> {
  template <int kAt>
  static __device__ void unpack(const uint8_t* b, int unit, UnitOf& u) {
    uint32_t header[4], qs[4];
    load_words<kAt, 2>(b, header);
    load_words<kAt, -2>(b + 16 + 16 * unit, qs);
    scale_pair(header, unit / 2, u);
    REFORM_UNROLL
    for (int k = 0; k < 4; ++k) u.q[0][k] = low_bits(qs[k]), u.q[1][k] = high_bits(qs[k]);
  }
};
struct Q5_K : QuantFormat<256, 176, 2, 16, true> {
  template <int kAt>
  static __device__ void unpack(const uint8_t* b, int unit, UnitOf& u) {
    const int pair = unit / 2;
    uint32_t header[4], high[4], qs[4];
    load_words<kAt, 2>(b, header);
    load_words<kAt, 2>(b + 16 + 16 * (unit % 2), high);
    load_words<kAt, -2>(b + 48 + 16 * unit, qs);
    scale_pair(header, pair, u);
    REFORM_UNROLL
    for (int k = 0; k < 4; ++k) {
      u.q[0][k] = low_bits(qs[k]) | one_bit(high[k], 2 * pair) << 4;
      u.q[1][k] = high_bits(qs[k]) | one_bit(high[k], 2 * pair + 1) << 4;
    }
  }
};
struct Q6_K : QuantFormat<256, 210, 4, 2, false> {
  template <int kAt>
  static __device__ void unpack(const uint8_t* b, int unit, UnitOf& u) {
    const int half = unit / 2, part = unit % 2;
    uint32_t low[2][4], high[4], scales[2];
    load_words<2, 2>(b + 64 * half + 16 * part, low[0]);
    load_words<2, 2>(b + 64 * half + 32 + 16 * part, low[1]);
    load_words<2, 2>(b + 128 + 32 * half + 16 * part, high);
    load_words<2, 2>(b + 192 + 8 * half, scales);
    const float d = load_half(b + 208);
    REFORM_UNROLL
    for (int j = 0; j < 4; ++j) {
      u.scale[j] = round_product(d, float(int8_t(byte_of(scales[j / 2], j % 2 * 2 + part)))), u.offset[j] = 0;
      REFORM_UNROLL
      for (int k = 0; k < 4; ++k) {
        const uint32_t four = j < 2 ? low_bits(low[j][k]) : high_bits(low[j - 2][k]);
        u.q[j][k] = centred<32>(four | two_bits(high[k], 2 * j) << 4);
      }
    }
  }
};

// Weight i of a run, bit for bit what the format's definition gives.
template <class Format>
__device__ __forceinline__ float weight_of(const typename Format::UnitOf& u, int run, int i) {
  const float scaled = round_product(u.scale[run], float(int8_t(byte_of(u.q[run][i / 4], i % 4))));
  return Format::kHasOffset ? scaled + u.offset[run] : scaled;
}

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

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
