// Vec over AVX-512 (F, BW, VL, DQ): the words in which the kernels (*.inl.h) are written. simd_avx2.h and
// simd_portable.h define the same words. Everything is in an anonymous namespace, as code compiled for one instruction
// set must not be linked into another's callers.
#pragma once

#include <stdint.h>

#include "kernels/cpu/intrinsics.h"

namespace {

using Vec = __m512;
constexpr int kLanes = 16;
constexpr int kColumnVecs = 4;  // 6 rows x 4 vectors of accumulators fit the 32 registers

inline Vec zero() { return _mm512_setzero_ps(); }
inline Vec set1(float x) { return _mm512_set1_ps(x); }
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
// If one is NaN, min and max return their second argument.
inline Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
inline Vec absolute(Vec v) { return _mm512_abs_ps(v); }
inline float reduce_add(Vec v) { return _mm512_reduce_add_ps(v); }
inline float reduce_max(Vec v) { return _mm512_reduce_max_ps(v); }

// The first n < kLanes elements. The other lanes are zero, and their memory is not touched.
inline __mmask16 first_lanes(int64_t n) { return __mmask16((1u << n) - 1); }
inline Vec load_n(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
inline void store_n(float* p, Vec v, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }

inline Vec load_f16(const uint16_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p)); }
inline Vec load_f16_n(const uint16_t* p, int64_t n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
inline __m256i to_f16(Vec v) { return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline void store_f16(uint16_t* p, Vec v) { _mm256_storeu_si256((__m256i*)p, to_f16(v)); }
inline void store_f16_n(uint16_t* p, Vec v, int64_t n) { _mm256_mask_storeu_epi16(p, first_lanes(n), to_f16(v)); }

// Rounded to nearest even; |v| <= 127.
inline void store_i8(int8_t* p, Vec v) { _mm_storeu_si128((__m128i*)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v))); }
inline void store_i8_n(int8_t* p, Vec v, int64_t n) {
  _mm_mask_storeu_epi8(p, first_lanes(n), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}

// Keeps v in lanes i with begin <= first + i < end; the other lanes become `other`.
inline Vec keep_range(Vec v, int32_t first, int32_t begin, int32_t end, Vec other) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i index = _mm512_add_epi32(lane, _mm512_set1_epi32(first));
  const __mmask16 in =
      _mm512_cmpge_epi32_mask(index, _mm512_set1_epi32(begin)) & _mm512_cmplt_epi32_mask(index, _mm512_set1_epi32(end));
  return _mm512_mask_mov_ps(other, in, v);
}

// 2^x for x < 127.5 within 2e-7 (relative); 2^0 is exact, and below -126 it is exactly 0, so that a masked logit has no
// weight. A minimax polynomial of degree 5 on [0, 1] gives 2 to the power of x - floor(x).
inline Vec exp2(Vec x) {
  const Vec f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  Vec p = fma(set1(1.867130166e-03f), f, set1(9.017029777e-03f));
  p = fma(p, f, set1(5.579991266e-02f));
  p = fma(p, f, set1(2.401644439e-01f));
  p = fma(p, f, set1(6.931512952e-01f));
  p = fma(p, f, set1(1.0f));
  // A result below 2^-126 would take the processor 90 ns.
  return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, set1(-126.0f), _CMP_GE_OQ), p, x);
}

// rows[i][j] becomes rows[j][i].
inline void transpose(Vec* rows) {
  __m512 t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
    rows[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
    rows[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    rows[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_f32x4(rows[i], rows[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_f32x4(rows[i], rows[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
    rows[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
    rows[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
    rows[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

}  // namespace
