// How a row of stored values is read: in whole vectors and a rest, widened to FP32, rotated. Included after a simd_*.h.
#pragma once

#include <stdint.h>

namespace {

// Calls `whole(i)` for whole vectors, then `part(i, count)` for the last n % kLanes elements.
template <class Whole, class Part>
inline void for_vectors(int64_t n, Whole whole, Part part) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) whole(i);
  if (i < n) part(i, n - i);
}

inline void widen_row(bool is_f16, const void* rows, int64_t row, int64_t n, float* out) {
  if (is_f16) {
    const uint16_t* x = (const uint16_t*)rows + row * n;
    for_vectors(
        n, [&](int64_t i) { store(out + i, load_f16(x + i)); },
        [&](int64_t i, int64_t m) { store(out + i, load_f16_n(x + i, m)); });
  } else {
    const float* x = (const float*)rows + row * n;
    for_vectors(
        n, [&](int64_t i) { store(out + i, load(x + i)); },
        [&](int64_t i, int64_t m) { store(out + i, load_n(x + i, m)); });
  }
}

inline void clear(float* x, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) x[i] = 0.0f;
}

inline void rotate(float* x, const float* cos, const float* sin, int64_t n_pairs, bool halves) {
  if (!halves) {
    for (int64_t i = 0; i < n_pairs; ++i) {
      const float a = x[2 * i], b = x[2 * i + 1];
      x[2 * i] = a * cos[i] - b * sin[i];
      x[2 * i + 1] = a * sin[i] + b * cos[i];
    }
    return;
  }
  float* y = x + n_pairs;
  for_vectors(
      n_pairs,
      [&](int64_t i) {
        const Vec a = load(x + i), b = load(y + i), c = load(cos + i), s = load(sin + i);
        store(x + i, a * c - b * s);
        store(y + i, a * s + b * c);
      },
      [&](int64_t i, int64_t m) {
        const Vec a = load_n(x + i, m), b = load_n(y + i, m), c = load_n(cos + i, m), s = load_n(sin + i, m);
        store_n(x + i, a * c - b * s, m);
        store_n(y + i, a * s + b * c, m);
      });
}

}  // namespace
