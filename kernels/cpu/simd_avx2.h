// Vec over AVX2, FMA and F16C. The words are described in simd_avx512.h.
#pragma once

#include <immintrin.h>
#include <stdint.h>

namespace {

using Vec = __m256;
constexpr int kLanes = 8;
constexpr int kColumnVecs = 2;  // 6 rows x 2 vectors of accumulators fit the 16 registers

inline Vec zero() { return _mm256_setzero_ps(); }
inline Vec set1(float x) { return _mm256_set1_ps(x); }
inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
inline Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
inline Vec absolute(Vec v) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v); }

inline float reduce_add(Vec v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
inline float reduce_max(Vec v) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}

inline __m256i lane_numbers() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
inline __m256i first_lanes(int64_t n) { return _mm256_cmpgt_epi32(_mm256_set1_epi32(int(n)), lane_numbers()); }
inline Vec load_n(const float* p, int64_t n) { return _mm256_maskload_ps(p, first_lanes(n)); }
inline void store_n(float* p, Vec v, int64_t n) { _mm256_maskstore_ps(p, first_lanes(n), v); }

inline Vec load_f16(const uint16_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)); }
inline Vec load_f16_n(const uint16_t* p, int64_t n) {
  uint16_t whole[8] = {};
  for (int64_t i = 0; i < n; ++i) whole[i] = p[i];
  return load_f16(whole);
}
inline void store_f16(uint16_t* p, Vec v) {
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline void store_f16_n(uint16_t* p, Vec v, int64_t n) {
  uint16_t whole[8];
  store_f16(whole, v);
  for (int64_t i = 0; i < n; ++i) p[i] = whole[i];
}

inline void store_i8(int8_t* p, Vec v) {
  const __m256i wide = _mm256_cvtps_epi32(v);
  const __m128i half = _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  _mm_storel_epi64((__m128i*)p, _mm_packs_epi16(half, half));
}
inline void store_i8_n(int8_t* p, Vec v, int64_t n) {
  int8_t whole[8];
  store_i8(whole, v);
  for (int64_t i = 0; i < n; ++i) p[i] = whole[i];
}

inline Vec keep_range(Vec v, int32_t first, int32_t begin, int32_t end, Vec other) {
  const __m256i index = _mm256_add_epi32(lane_numbers(), _mm256_set1_epi32(first));
  const __m256i before = _mm256_cmpgt_epi32(_mm256_set1_epi32(begin), index);
  const __m256i in = _mm256_andnot_si256(before, _mm256_cmpgt_epi32(_mm256_set1_epi32(end), index));
  return _mm256_blendv_ps(other, v, _mm256_castsi256_ps(in));
}

inline Vec exp2(Vec x) {
  const Vec shifted = x + set1(12582912.0f);
  const Vec f = x - (shifted - set1(12582912.0f));
  Vec p = fma(set1(1.327647245e-03f), f, set1(9.675540961e-03f));
  p = fma(p, f, set1(5.550713092e-02f));
  p = fma(p, f, set1(2.402212024e-01f));
  p = fma(p, f, set1(6.931469440e-01f));
  p = fma(p, f, set1(1.0f));
  const __m256i power = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
  const Vec scaled = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), power));
  return _mm256_and_ps(scaled, _mm256_cmp_ps(x, set1(-126.0f), _CMP_GE_OQ));
}

inline void transpose(Vec* rows) {
  __m256 t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    rows[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    rows[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    rows[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    rows[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2f128_ps(rows[i], rows[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(rows[i], rows[i + 4], 0x31);
  }
  for (int i = 0; i < 8; ++i) rows[i] = t[i];
}

}  // namespace
