// Vec in plain C++ (the vector extension of g++ and clang, four lanes: SSE2 or NEON if the machine has it).
// simd_avx512.h describes the words.
#pragma once

#include <math.h>
#include <stdint.h>

#include "base/float16.h"

namespace {

typedef float Vec __attribute__((vector_size(16)));
typedef int32_t VecI __attribute__((vector_size(16)));
constexpr int kLanes = 4;
constexpr int kColumnVecs = 2;

inline Vec zero() { return Vec{0, 0, 0, 0}; }
inline Vec set1(float x) { return Vec{x, x, x, x}; }
inline Vec load(const float* p) { return Vec{p[0], p[1], p[2], p[3]}; }
inline void store(float* p, Vec v) {
  for (int i = 0; i < kLanes; ++i) p[i] = v[i];
}
inline Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
inline Vec max(Vec a, Vec b) { return a > b ? a : b; }
inline Vec min(Vec a, Vec b) { return a < b ? a : b; }
inline Vec absolute(Vec v) { return (Vec)((VecI)v & 0x7fffffff); }
inline float reduce_add(Vec v) { return (v[0] + v[2]) + (v[1] + v[3]); }
inline float reduce_max(Vec v) {
  const float a = v[0] > v[2] ? v[0] : v[2], b = v[1] > v[3] ? v[1] : v[3];
  return a > b ? a : b;
}

inline Vec load_n(const float* p, int64_t n) {
  Vec v = zero();
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
inline void store_n(float* p, Vec v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = v[i];
}

inline Vec load_f16_n(const uint16_t* p, int64_t n) {
  Vec v = zero();
  for (int64_t i = 0; i < n; ++i) v[i] = reform::f16_to_f32(p[i]);
  return v;
}
inline Vec load_f16(const uint16_t* p) { return load_f16_n(p, kLanes); }
inline void store_f16_n(uint16_t* p, Vec v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = reform::f32_to_f16(v[i]);
}
inline void store_f16(uint16_t* p, Vec v) { store_f16_n(p, v, kLanes); }

// Adding 1.5 * 2^23 leaves no bits for a fraction: round to nearest even, for |v| < 2^22.
inline Vec round_small(Vec v) { return (v + 12582912.0f) - 12582912.0f; }
inline void store_i8_n(int8_t* p, Vec v, int64_t n) {
  const Vec rounded = round_small(v);
  for (int64_t i = 0; i < n; ++i) p[i] = int8_t(rounded[i]);
}
inline void store_i8(int8_t* p, Vec v) { store_i8_n(p, v, kLanes); }

inline Vec keep_range(Vec v, int32_t first, int32_t begin, int32_t end, Vec other) {
  const VecI index = VecI{0, 1, 2, 3} + first;
  return ((index >= begin) & (index < end)) ? v : other;
}

inline Vec exp2(Vec x) {
  const Vec clamped = max(x, set1(-126.0f));
  const Vec n = round_small(clamped), f = clamped - n;
  Vec p = fma(set1(1.327647245e-03f), f, set1(9.675540961e-03f));
  p = fma(p, f, set1(5.550713092e-02f));
  p = fma(p, f, set1(2.402212024e-01f));
  p = fma(p, f, set1(6.931469440e-01f));
  p = fma(p, f, set1(1.0f));
  const VecI power = (__builtin_convertvector(n, VecI) + 127) << 23;
  return x >= -126.0f ? p * (Vec)power : zero();
}

inline void transpose(Vec* rows) {
  for (int i = 0; i < kLanes; ++i) {
    for (int j = 0; j < i; ++j) {
      const float t = rows[i][j];
      rows[i][j] = rows[j][i];
      rows[j][i] = t;
    }
  }
}

}  // namespace
