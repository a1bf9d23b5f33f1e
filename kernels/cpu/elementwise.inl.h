// Kernels over one row. Included by kernels.inl.h.
#pragma once

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/rows.inl.h"

namespace {

using namespace reform::cpu;

void rms_norm(const float* x, const float* weight, int64_t n, float eps, float* out) {
  Vec sums[4] = {zero(), zero(), zero(), zero()};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (int j = 0; j < 4; ++j) sums[j] = fma(load(x + i + j * kLanes), load(x + i + j * kLanes), sums[j]);
  }
  for (; i + kLanes <= n; i += kLanes) sums[0] = fma(load(x + i), load(x + i), sums[0]);
  if (i < n) sums[1] = fma(load_n(x + i, n - i), load_n(x + i, n - i), sums[1]);
  const float mean = reduce_add((sums[0] + sums[1]) + (sums[2] + sums[3])) / float(n);
  const Vec factor = set1(1.0f / __builtin_sqrtf(mean + eps));
  for_vectors(
      n, [&](int64_t k) { store(out + k, load(x + k) * factor * load(weight + k)); },
      [&](int64_t k, int64_t m) { store_n(out + k, load_n(x + k, m) * factor * load_n(weight + k, m), m); });
}

constexpr float kLog2E = 1.44269504f;

// 1 / (1 + e^-x), no smaller than 2^-126.
inline Vec sigmoid(Vec x) { return set1(1.0f) / (set1(1.0f) + exp2(min(set1(126.0f), x * set1(-kLog2E)))); }

// x * s, where s has long vanished for x below -126.
inline Vec gated_by(Vec x, Vec s) { return max(set1(-126.0f), x) * s; }

inline Vec silu(Vec x) { return gated_by(x, sigmoid(x)); }

// 0.5 (1 + tanh(u)) = sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3).
inline Vec gelu(Vec x) {
  const Vec cubic = fma(x * x * set1(0.044715f), x, x);
  return gated_by(x, sigmoid(cubic * set1(2.0f * 0.797884561f)));
}

template <class F>
inline void gate_rows(float* gate, const float* up, int64_t n, F activation) {
  for_vectors(
      n, [&](int64_t i) { store(gate + i, activation(load(gate + i)) * load(up + i)); },
      [&](int64_t i, int64_t m) { store_n(gate + i, activation(load_n(gate + i, m)) * load_n(up + i, m), m); });
}

void silu_gate(float* gate, const float* up, int64_t n) {
  gate_rows(gate, up, n, [](Vec x) { return silu(x); });
}

void gelu_gate(float* gate, const float* up, int64_t n) {
  gate_rows(gate, up, n, [](Vec x) { return gelu(x); });
}

void add(float* x, const float* y, int64_t n) {
  for_vectors(
      n, [&](int64_t i) { store(x + i, load(x + i) + load(y + i)); },
      [&](int64_t i, int64_t m) { store_n(x + i, load_n(x + i, m) + load_n(y + i, m), m); });
}

void scale(float* x, float factor, int64_t n) {
  for_vectors(
      n, [&](int64_t i) { store(x + i, load(x + i) * set1(factor)); },
      [&](int64_t i, int64_t m) { store_n(x + i, load_n(x + i, m) * set1(factor), m); });
}

// One infinity in a cache would spoil every row that sees it. A NaN stays one.
inline Vec saturate_f16(Vec v) { return min(set1(65504.0f), max(set1(-65504.0f), v)); }

void to_f16_row(const float* x, int64_t n, uint16_t* out) {
  for_vectors(
      n, [&](int64_t i) { store_f16(out + i, saturate_f16(load(x + i))); },
      [&](int64_t i, int64_t m) { store_f16_n(out + i, saturate_f16(load_n(x + i, m)), m); });
}

// q = 127 * value / max: the norm cancels, and neither overflow nor underflow of the squares can spoil q.
float normalise_quantise(const float* x, const float* centre, int64_t n, int8_t* out) {
  const auto value = [&](int64_t i) { return centre != nullptr ? load(x + i) - load(centre + i) : load(x + i); };
  const auto value_n = [&](int64_t i, int64_t m) {
    return centre != nullptr ? load_n(x + i, m) - load_n(centre + i, m) : load_n(x + i, m);
  };
  Vec largest = zero();
  for_vectors(
      n, [&](int64_t i) { largest = max(absolute(value(i)), largest); },
      [&](int64_t i, int64_t m) { largest = max(absolute(value_n(i, m)), largest); });
  const float top = reduce_max(largest);
  const Vec divisor = set1(top > 0.0f ? top : 1.0f);
  Vec squares = zero();
  const auto accumulate = [&](Vec v) { squares = fma(v / divisor, v / divisor, squares); };
  for_vectors(
      n, [&](int64_t i) { accumulate(value(i)); }, [&](int64_t i, int64_t m) { accumulate(value_n(i, m)); });
  const float norm = __builtin_sqrtf(reduce_add(squares));  // of value / top: in [1, sqrt(n)] for any proper row
  if (!(top > 0.0f) || !(norm >= 0.5f)) {                   // all zero, or not finite
    for (int64_t i = 0; i < n; ++i) out[i] = 0;
    return 0.0f;
  }
  const Vec factor = set1(127.0f);
  for_vectors(
      n, [&](int64_t i) { store_i8(out + i, value(i) / divisor * factor); },
      [&](int64_t i, int64_t m) { store_i8_n(out + i, value_n(i, m) / divisor * factor, m); });
  return 1.0f / (norm * 127.0f);
}

}  // namespace
