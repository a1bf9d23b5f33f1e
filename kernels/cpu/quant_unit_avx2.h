// 256 elements of each quantised format as bytes, with a float scale and offset per 16 elements: value = scale * q +
// offset, exactly as kernels/reference/dequant_*.cc define it (layouts are described there). q is unsigned and below
// 64, except in Q8_0, where it is the stored signed value.
// At the end: the float types, eight elements at a time.
// For *_avx2.cc files only; everything has internal linkage.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "kernels/cpu/matmul_kernels.h"

namespace reform::cpu {
namespace {

struct Unit {
  __m256i q[8];      // 32 elements each, in order
  __m256 scale[2];   // [16], one per 16 elements
  __m256 offset[2];  // [16]
};

inline uint16_t load_u16(const uint8_t* p) {
  uint16_t v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
inline uint32_t load_u32(const uint8_t* p) {
  uint32_t v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
inline uint64_t load_u64(const uint8_t* p) {
  uint64_t v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
inline __m256 half_at(const uint8_t* p) { return _mm256_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(load_u16(p)))); }
inline __m256i load_32(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline __m128i load_16(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
// Bits [shift, shift + log2(mask + 1)) of each byte.
inline __m256i bits_of(__m256i v, int shift, int mask) {
  return _mm256_and_si256(_mm256_srli_epi16(v, shift), _mm256_set1_epi8(char(mask)));
}
// `value` in each byte where `bit` of v is set.
inline __m256i where_bit(__m256i v, int bit, int value) {
  const __m256i mask = _mm256_set1_epi8(char(1 << bit));
  return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(v, mask), mask), _mm256_set1_epi8(char(value)));
}
inline void per_16(__m256 per_32, __m256* out) {
  out[0] = _mm256_permutevar8x32_ps(per_32, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
  out[1] = _mm256_permutevar8x32_ps(per_32, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7));
}
inline void floats_of(__m128i bytes, __m256* out) {
  out[0] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  out[1] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes)));
}
inline void multiply(const __m256* a, __m256 b, __m256* out) {
  out[0] = _mm256_mul_ps(a[0], b), out[1] = _mm256_mul_ps(a[1], b);
}

// --- 32-element blocks: up to 8 of them make a unit; elements past n_blocks are zero.

// The halves at p, p + stride, ... as floats.
inline __m256 gather_halves(const uint8_t* p, int64_t stride, int n_blocks) {
  alignas(16) uint16_t halves[8] = {};
  for (int i = 0; i < n_blocks; ++i) halves[i] = load_u16(p + i * stride);
  return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(halves)));
}

// Q4_0, Q4_1, Q5_0, Q5_1: {half d; half m (_1 only); u32 qh (5 bits only); u8 qs[16]}.
template <QuantType type, int bits, bool has_min>
struct Small {
  static constexpr QuantType kType = type;
  static constexpr int kBlockBytes = 18 + (has_min ? 2 : 0) + (bits == 5 ? 4 : 0);
  static constexpr int kBlockElems = 32;
  static constexpr bool kSigned = false;

  static __m256i block(const uint8_t* p) {
    const __m128i packed = load_16(p + kBlockBytes - 16);
    const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(packed), _mm_srli_epi16(packed, 4), 1);
    __m256i q = _mm256_and_si256(both, _mm256_set1_epi8(15));
    if constexpr (bits == 5) {
      // Byte i gets byte i / 8 of the mask, then its bit i % 8.
      const __m256i high =
          _mm256_shuffle_epi8(_mm256_set1_epi32(int(load_u32(p + (has_min ? 4 : 2)))),
                              _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
      const __m256i bit = _mm256_set1_epi64x(int64_t(0x8040201008040201));
      q = _mm256_or_si256(q,
                          _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(high, bit), bit), _mm256_set1_epi8(16)));
    }
    return q;
  }

  static inline __attribute__((always_inline)) void load(const uint8_t* p, int n_blocks, Unit& u) {
    per_16(gather_halves(p, kBlockBytes, n_blocks), u.scale);
    if constexpr (has_min) {
      per_16(gather_halves(p + 2, kBlockBytes, n_blocks), u.offset);
    } else {
      multiply(u.scale, _mm256_set1_ps(-float(1 << (bits - 1))), u.offset);
    }
    for (int i = 0; i < 8; ++i) u.q[i] = i < n_blocks ? block(p + i * kBlockBytes) : _mm256_setzero_si256();
  }
};

using Q4_0 = Small<QuantType::kQ4_0, 4, false>;
using Q4_1 = Small<QuantType::kQ4_1, 4, true>;
using Q5_0 = Small<QuantType::kQ5_0, 5, false>;
using Q5_1 = Small<QuantType::kQ5_1, 5, true>;

// {half d; i8 qs[32]}.
struct Q8_0 {
  static constexpr QuantType kType = QuantType::kQ8_0;
  static constexpr int kBlockBytes = 34, kBlockElems = 32;
  static constexpr bool kSigned = true;
  static inline __attribute__((always_inline)) void load(const uint8_t* p, int n_blocks, Unit& u) {
    per_16(gather_halves(p, kBlockBytes, n_blocks), u.scale);
    u.offset[0] = u.offset[1] = _mm256_setzero_ps();
    for (int i = 0; i < 8; ++i) u.q[i] = i < n_blocks ? load_32(p + i * kBlockBytes + 2) : _mm256_setzero_si256();
  }
};

// --- 256-element blocks: one is a unit.

// Scales and minimums of Q4_K and Q5_K: 8 of each, 6 bits.
inline __attribute__((always_inline)) void load_k_scale_min(const uint8_t* block, Unit& u) {
  const uint32_t s = load_u32(block + 4), m = load_u32(block + 8), low = load_u32(block + 12);
  const uint32_t s_high = (low & 0x0f0f0f0f) | ((s >> 2) & 0x30303030);
  const uint32_t m_high = ((low >> 4) & 0x0f0f0f0f) | ((m >> 2) & 0x30303030);
  const __m128i all = _mm_setr_epi32(int(s & 0x3f3f3f3f), int(s_high), int(m & 0x3f3f3f3f), int(m_high));
  const __m256 scales = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(all));
  const __m256 mins = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(all, all)));
  per_16(_mm256_mul_ps(scales, half_at(block)), u.scale);
  per_16(_mm256_mul_ps(mins, _mm256_sub_ps(_mm256_setzero_ps(), half_at(block + 2))), u.offset);
}

struct Q4_K {
  static constexpr QuantType kType = QuantType::kQ4_K;
  static constexpr int kBlockBytes = 144, kBlockElems = 256;
  static constexpr bool kSigned = false;
  static inline __attribute__((always_inline)) void load(const uint8_t* p, int, Unit& u) {
    load_k_scale_min(p, u);
    for (int j = 0; j < 4; ++j) {
      const __m256i packed = load_32(p + 16 + 32 * j);
      u.q[2 * j] = bits_of(packed, 0, 15);
      u.q[2 * j + 1] = bits_of(packed, 4, 15);
    }
  }
};

struct Q5_K {
  static constexpr QuantType kType = QuantType::kQ5_K;
  static constexpr int kBlockBytes = 176, kBlockElems = 256;
  static constexpr bool kSigned = false;
  static inline __attribute__((always_inline)) void load(const uint8_t* p, int, Unit& u) {
    load_k_scale_min(p, u);
    const __m256i high = load_32(p + 16);
    for (int j = 0; j < 4; ++j) {
      const __m256i packed = load_32(p + 48 + 32 * j);
      u.q[2 * j] = _mm256_or_si256(bits_of(packed, 0, 15), where_bit(high, 2 * j, 16));
      u.q[2 * j + 1] = _mm256_or_si256(bits_of(packed, 4, 15), where_bit(high, 2 * j + 1, 16));
    }
  }
};

struct Q6_K {
  static constexpr QuantType kType = QuantType::kQ6_K;
  static constexpr int kBlockBytes = 210, kBlockElems = 256;
  static constexpr bool kSigned = false;
  static inline __attribute__((always_inline)) void load(const uint8_t* p, int, Unit& u) {
    __m256 scales[2];
    floats_of(load_16(p + 192), scales);
    multiply(scales, half_at(p + 208), u.scale);
    multiply(u.scale, _mm256_set1_ps(-32.0f), u.offset);
    for (int half = 0; half < 2; ++half) {
      const __m256i low_0 = load_32(p + 64 * half), low_1 = load_32(p + 64 * half + 32);
      const __m256i high = load_32(p + 128 + 32 * half);
      __m256i* q = u.q + 4 * half;
      q[0] = _mm256_or_si256(bits_of(low_0, 0, 15), _mm256_slli_epi16(bits_of(high, 0, 3), 4));
      q[1] = _mm256_or_si256(bits_of(low_1, 0, 15), _mm256_slli_epi16(bits_of(high, 2, 3), 4));
      q[2] = _mm256_or_si256(bits_of(low_0, 4, 15), _mm256_slli_epi16(bits_of(high, 4, 3), 4));
      q[3] = _mm256_or_si256(bits_of(low_1, 4, 15), _mm256_slli_epi16(bits_of(high, 6, 3), 4));
    }
  }
};

struct Q2_K {
  static constexpr QuantType kType = QuantType::kQ2_K;
  static constexpr int kBlockBytes = 84, kBlockElems = 256;
  static constexpr bool kSigned = false;
  static inline __attribute__((always_inline)) void load(const uint8_t* p, int, Unit& u) {
    const __m128i packed = load_16(p), low = _mm_set1_epi8(15);
    __m256 scales[2], mins[2];
    floats_of(_mm_and_si128(packed, low), scales);
    floats_of(_mm_and_si128(_mm_srli_epi16(packed, 4), low), mins);
    multiply(scales, half_at(p + 80), u.scale);
    multiply(mins, _mm256_sub_ps(_mm256_setzero_ps(), half_at(p + 82)), u.offset);
    for (int i = 0; i < 8; ++i) u.q[i] = bits_of(load_32(p + 16 + 32 * (i / 4)), 2 * (i % 4), 3);
  }
};

struct Q3_K {
  static constexpr QuantType kType = QuantType::kQ3_K;
  static constexpr int kBlockBytes = 110, kBlockElems = 256;
  static constexpr bool kSigned = false;
  static inline __attribute__((always_inline)) void load(const uint8_t* p, int, Unit& u) {
    const uint64_t low = load_u64(p + 96);
    const uint32_t high = load_u32(p + 104);
    const __m128i low_bits = _mm_and_si128(_mm_set_epi64x(int64_t(low >> 4), int64_t(low)), _mm_set1_epi8(15));
    const __m128i pairs = _mm_setr_epi32(int(high), int(high >> 2), int(high >> 4), int(high >> 6));
    const __m128i high_bits = _mm_slli_epi16(_mm_and_si128(pairs, _mm_set1_epi8(3)), 4);
    __m256 scales[2];
    floats_of(_mm_sub_epi8(_mm_or_si128(low_bits, high_bits), _mm_set1_epi8(32)), scales);
    multiply(scales, half_at(p + 108), u.scale);
    multiply(u.scale, _mm256_set1_ps(-4.0f), u.offset);
    const __m256i mask = load_32(p);
    for (int i = 0; i < 8; ++i) {
      u.q[i] = _mm256_or_si256(bits_of(load_32(p + 32 + 32 * (i / 4)), 2 * (i % 4), 3), where_bit(mask, i, 4));
    }
  }
};

// --- float types: load() takes 8 elements, load_one() one at a row's end

struct F32 {
  static constexpr QuantType kType = QuantType::kF32;
  static constexpr int kBytes = 4;
  static __m256 load(const uint8_t* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); }
  static float load_one(const uint8_t* p) {
    float v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
  }
};
struct F16 {
  static constexpr QuantType kType = QuantType::kF16;
  static constexpr int kBytes = 2;
  static __m256 load(const uint8_t* p) { return _mm256_cvtph_ps(load_16(p)); }
  static float load_one(const uint8_t* p) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(load_u16(p)))); }
};
struct BF16 {
  static constexpr QuantType kType = QuantType::kBF16;
  static constexpr int kBytes = 2;
  static __m256 load(const uint8_t* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_16(p)), 16));
  }
  static float load_one(const uint8_t* p) {
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(int(uint32_t(load_u16(p)) << 16))));
  }
};

// The types that have kernels for this instruction set, in any order. Others take the next slower path (matmul.cc).
using Codecs = CodecList<Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K>;

}  // namespace
}  // namespace reform::cpu
