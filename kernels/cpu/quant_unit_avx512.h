// 256 elements of each quantised format as unsigned bytes, with a float scale and offset per 16 elements: value = scale
// * q + offset, exactly as kernels/reference/dequant_*.cc define it (layouts are described there).
// For *_avx512.cc files only; everything has internal linkage.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "kernels/cpu/matmul_kernels.h"

namespace reform::cpu {
namespace {

struct Unit {
  __m512i q[4];   // 64 elements each, in order
  __m512 scale;   // [16], one per 16 elements
  __m512 offset;  // [16]
};

constexpr int kNotFinite = 0x99;  // vfpclass: quiet NaN, +inf, -inf, signalling NaN

// The high plane of 16-bit activations: (q + 128) >> 8, so that q = 256 * high + low with low a signed byte.
inline __m128i high_bytes(__m512i q) {
  return _mm512_cvtepi32_epi8(_mm512_srai_epi32(_mm512_add_epi32(q, _mm512_set1_epi32(128)), 8));
}

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
inline __m512 half_at(const uint8_t* p) { return _mm512_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(load_u16(p)))); }
inline __m512i load_32_twice(const uint8_t* p) {
  return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
// Shifts the low 256 bits right by `low` bits and the high ones by `high`, within 64-bit lanes; callers mask bytes.
inline __m512i shift_halves_right(__m512i v, int low, int high) {
  return _mm512_srlv_epi64(v, _mm512_setr_epi64(low, low, low, low, high, high, high, high));
}
inline __m512i bytes_of_halves(int low, int high) {
  return _mm512_inserti64x4(_mm512_set1_epi8(char(low)), _mm256_set1_epi8(char(high)), 1);
}
inline __m512 per_16(__m256 per_32) {
  return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7),
                               _mm512_castps256_ps512(per_32));
}

// --- 32-element blocks: up to 8 of them make a unit; elements past n_blocks are zero.

// The halves at p, p + stride, ... as floats.
template <int stride>
inline __m256 gather_halves(const uint8_t* p, int n_blocks) {
  __m128i h = _mm_setzero_si128();
  if (n_blocks == 8) {
    h = _mm_setr_epi16(short(load_u16(p)), short(load_u16(p + stride)), short(load_u16(p + 2 * stride)),
                       short(load_u16(p + 3 * stride)), short(load_u16(p + 4 * stride)),
                       short(load_u16(p + 5 * stride)), short(load_u16(p + 6 * stride)),
                       short(load_u16(p + 7 * stride)));
  } else {
    alignas(16) uint16_t halves[8] = {};
    for (int i = 0; i < n_blocks; ++i) halves[i] = load_u16(p + i * stride);
    h = _mm_load_si128(reinterpret_cast<const __m128i*>(halves));
  }
  return _mm256_cvtph_ps(h);
}

// Q4_0, Q4_1, Q5_0, Q5_1: {half d; half m (_1 only); u32 qh (5 bits only); u8 qs[16]}.
template <QuantType type, int bits, bool has_min>
struct Small {
  static constexpr QuantType kType = type;
  static constexpr int kBlockBytes = 18 + (has_min ? 2 : 0) + (bits == 5 ? 4 : 0);
  static constexpr int kBlockElems = 32, kScaleElems = 32;

  // Two blocks; the second is read only if there is one.
  static __m512i pair(const uint8_t* p, bool both) {
    constexpr int kHighBits = has_min ? 4 : 2, kNibbles = kBlockBytes - 16;
    const uint8_t* second = both ? p + kBlockBytes : p;
    const __m256i first_q =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + kNibbles)));
    const __m256i second_q =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(second + kNibbles)));
    const __m512i packed = _mm512_inserti64x4(_mm512_castsi256_si512(first_q), second_q, 1);
    __m512i q =
        _mm512_and_si512(_mm512_srlv_epi64(packed, _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4)), _mm512_set1_epi8(15));
    if constexpr (bits == 5) {
      const uint64_t high = load_u32(p + kHighBits) | uint64_t(load_u32(second + kHighBits)) << 32;
      q = _mm512_mask_add_epi8(q, high, q, _mm512_set1_epi8(16));
    }
    return q;
  }

  static inline __attribute__((always_inline)) void load(const uint8_t* p, int n_blocks, Unit& u) {
    u.scale = per_16(gather_halves<kBlockBytes>(p, n_blocks));
    if constexpr (has_min) {
      u.offset = per_16(gather_halves<kBlockBytes>(p + 2, n_blocks));
    } else {
      u.offset = _mm512_mul_ps(u.scale, _mm512_set1_ps(-float(1 << (bits - 1))));
    }
    for (int j = 0; j < 4; ++j) {
      u.q[j] = _mm512_setzero_si512();
      if (2 * j < n_blocks) u.q[j] = pair(p + 2 * j * kBlockBytes, 2 * j + 1 < n_blocks);
    }
  }
};

using Q4_0 = Small<QuantType::kQ4_0, 4, false>;
using Q4_1 = Small<QuantType::kQ4_1, 4, true>;
using Q5_0 = Small<QuantType::kQ5_0, 5, false>;
using Q5_1 = Small<QuantType::kQ5_1, 5, true>;

// {half d; i8 qs[32]}. q here is the stored value plus 128.
struct Q8_0 {
  static constexpr QuantType kType = QuantType::kQ8_0;
  static constexpr int kBlockBytes = 34, kBlockElems = 32, kScaleElems = 32;
  static inline __attribute__((always_inline)) void load(const uint8_t* p, int n_blocks, Unit& u) {
    u.scale = per_16(gather_halves<kBlockBytes>(p, n_blocks));
    u.offset = _mm512_mul_ps(u.scale, _mm512_set1_ps(-128.0f));
    for (int j = 0; j < 4; ++j) {
      u.q[j] = _mm512_setzero_si512();
      if (2 * j >= n_blocks) continue;
      const uint8_t* block = p + 2 * j * kBlockBytes;
      const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + 2));
      const __m256i second = 2 * j + 1 < n_blocks
                                 ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + kBlockBytes + 2))
                                 : _mm256_setzero_si256();
      u.q[j] =
          _mm512_xor_si512(_mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1), _mm512_set1_epi8(char(-128)));
    }
  }
};

// --- 256-element blocks: one is a unit.

// [16] from 16 signed bytes.
inline __m512 floats_of(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)); }

// Scales and minimums of Q4_K and Q5_K: 8 of each, 6 bits.
inline __attribute__((always_inline)) void load_k_scale_min(const uint8_t* block, Unit& u) {
  const uint32_t s = load_u32(block + 4), m = load_u32(block + 8), low = load_u32(block + 12);
  const uint32_t s_high = (low & 0x0f0f0f0f) | ((s >> 2) & 0x30303030);
  const uint32_t m_high = ((low >> 4) & 0x0f0f0f0f) | ((m >> 2) & 0x30303030);
  const __m128i all = _mm_setr_epi32(int(s & 0x3f3f3f3f), int(s_high), int(m & 0x3f3f3f3f), int(m_high));
  const __m128i twice = _mm_setr_epi8(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  const __m128i scales = _mm_shuffle_epi8(all, twice);
  const __m128i mins = _mm_shuffle_epi8(all, _mm_add_epi8(twice, _mm_set1_epi8(8)));
  u.scale = _mm512_mul_ps(half_at(block), floats_of(scales));
  u.offset = _mm512_mul_ps(half_at(block + 2), _mm512_sub_ps(_mm512_setzero_ps(), floats_of(mins)));
}

struct Q4_K {
  static constexpr QuantType kType = QuantType::kQ4_K;
  static constexpr int kBlockBytes = 144, kBlockElems = 256, kScaleElems = 32;
  static inline __attribute__((always_inline)) void load(const uint8_t* p, int, Unit& u) {
    load_k_scale_min(p, u);
    for (int j = 0; j < 4; ++j) {
      u.q[j] = _mm512_and_si512(shift_halves_right(load_32_twice(p + 16 + 32 * j), 0, 4), _mm512_set1_epi8(15));
    }
  }
};

struct Q5_K {
  static constexpr QuantType kType = QuantType::kQ5_K;
  static constexpr int kBlockBytes = 176, kBlockElems = 256, kScaleElems = 32;
  static inline __attribute__((always_inline)) void load(const uint8_t* p, int, Unit& u) {
    load_k_scale_min(p, u);
    const __m512i high = load_32_twice(p + 16);
    for (int j = 0; j < 4; ++j) {
      const __m512i q =
          _mm512_and_si512(shift_halves_right(load_32_twice(p + 48 + 32 * j), 0, 4), _mm512_set1_epi8(15));
      const __mmask64 set = _mm512_test_epi8_mask(high, bytes_of_halves(1 << (2 * j), 2 << (2 * j)));
      u.q[j] = _mm512_mask_add_epi8(q, set, q, _mm512_set1_epi8(16));
    }
  }
};

struct Q6_K {
  static constexpr QuantType kType = QuantType::kQ6_K;
  static constexpr int kBlockBytes = 210, kBlockElems = 256, kScaleElems = 16;
  static inline __attribute__((always_inline)) void load(const uint8_t* p, int, Unit& u) {
    const __m128i scales = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 192));
    u.scale = _mm512_mul_ps(half_at(p + 208), floats_of(scales));
    u.offset = _mm512_mul_ps(u.scale, _mm512_set1_ps(-32.0f));
    const __m512i low_bits = _mm512_set1_epi8(15), high_bits = _mm512_set1_epi8(0x30);
    for (int half = 0; half < 2; ++half) {
      const __m512i low = _mm512_loadu_si512(p + 64 * half);
      const __m512i high = load_32_twice(p + 128 + 32 * half);
      const __m512i high_0 = _mm512_sllv_epi64(high, _mm512_setr_epi64(4, 4, 4, 4, 2, 2, 2, 2));
      const __m512i high_1 = shift_halves_right(high, 0, 2);
      u.q[2 * half] = _mm512_or_si512(_mm512_and_si512(low, low_bits), _mm512_and_si512(high_0, high_bits));
      u.q[2 * half + 1] =
          _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(low, 4), low_bits), _mm512_and_si512(high_1, high_bits));
    }
  }
};

struct Q2_K {
  static constexpr QuantType kType = QuantType::kQ2_K;
  static constexpr int kBlockBytes = 84, kBlockElems = 256, kScaleElems = 16;
  static inline __attribute__((always_inline)) void load(const uint8_t* p, int, Unit& u) {
    const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), low = _mm_set1_epi8(15);
    u.scale = _mm512_mul_ps(half_at(p + 80), floats_of(_mm_and_si128(packed, low)));
    const __m512 mins = floats_of(_mm_and_si128(_mm_srli_epi16(packed, 4), low));
    u.offset = _mm512_mul_ps(half_at(p + 82), _mm512_sub_ps(_mm512_setzero_ps(), mins));
    for (int half = 0; half < 2; ++half) {
      const __m512i bits = load_32_twice(p + 16 + 32 * half);
      u.q[2 * half] = _mm512_and_si512(shift_halves_right(bits, 0, 2), _mm512_set1_epi8(3));
      u.q[2 * half + 1] = _mm512_and_si512(shift_halves_right(bits, 4, 6), _mm512_set1_epi8(3));
    }
  }
};

struct Q3_K {
  static constexpr QuantType kType = QuantType::kQ3_K;
  static constexpr int kBlockBytes = 110, kBlockElems = 256, kScaleElems = 16;
  static inline __attribute__((always_inline)) void load(const uint8_t* p, int, Unit& u) {
    const uint64_t low = load_u64(p + 96);
    const uint32_t high = load_u32(p + 104);
    const __m128i low_bits = _mm_and_si128(_mm_set_epi64x(int64_t(low >> 4), int64_t(low)), _mm_set1_epi8(15));
    const __m128i pairs = _mm_setr_epi32(int(high), int(high >> 2), int(high >> 4), int(high >> 6));
    const __m128i high_bits = _mm_slli_epi16(_mm_and_si128(pairs, _mm_set1_epi8(3)), 4);
    const __m128i scales = _mm_sub_epi8(_mm_or_si128(low_bits, high_bits), _mm_set1_epi8(32));
    u.scale = _mm512_mul_ps(half_at(p + 108), floats_of(scales));
    u.offset = _mm512_mul_ps(u.scale, _mm512_set1_ps(-4.0f));
    const __m512i mask = load_32_twice(p);
    for (int j = 0; j < 4; ++j) {
      const __m512i bits = shift_halves_right(load_32_twice(p + 32 + 32 * (j / 2)), j % 2 ? 4 : 0, j % 2 ? 6 : 2);
      const __m512i q = _mm512_and_si512(bits, _mm512_set1_epi8(3));
      const __mmask64 set = _mm512_test_epi8_mask(mask, bytes_of_halves(1 << (2 * j), 2 << (2 * j)));
      u.q[j] = _mm512_mask_add_epi8(q, set, q, _mm512_set1_epi8(4));
    }
  }
};

// The types that have kernels for this instruction set, in any order. Others take the next slower path (matmul.cc).
using Codecs = CodecList<Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K>;

}  // namespace
}  // namespace reform::cpu
