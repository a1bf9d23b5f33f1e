// Random weights of every type, and the allowed errors of an INT8 product of them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "base/float16.h"
#include "kernels/ops.h"

namespace reform::test {

using Random = std::mt19937;

inline float normal(Random& random) {
  // A sum of uniform deviates, as std::normal_distribution differs between standard libraries.
  float sum = -2.0f;
  for (int i = 0; i < 4; ++i) sum += float(random() >> 8) * 0x1p-24f;
  return sum * 1.7f;
}

// A bounded deviate. One in 64 is 30 times as large.
inline float with_outliers(Random& random) { return normal(random) * (random() % 64 == 0 ? 30.0f : 1.0f); }

// The offsets of a block's half-precision fields.
inline std::vector<int> half_fields(QuantType type) {
  switch (type) {
    case QuantType::kQ2_K:
      return {80, 82};
    case QuantType::kQ3_K:
      return {108};
    case QuantType::kQ6_K:
      return {208};
    case QuantType::kQ4_1:
    case QuantType::kQ5_1:
    case QuantType::kQ4_K:
    case QuantType::kQ5_K:
      return {0, 2};
    default:
      return {0};
  }
}

struct Matrix {
  std::vector<uint8_t> bytes;  // exactly the rows, so that a read past them leaves the allocation
  Weight weight;
  std::vector<float> values;  // [rows, cols], exact
};

// Every bit pattern of the integer fields, reasonable halves, some blocks zero. Row `zero_row`, if any, is all zero.
inline Matrix random_matrix(QuantType type, int64_t rows, int64_t cols, Random& random, int64_t zero_row = -1) {
  const QuantGeometry& g = geometry(type);
  Matrix m;
  m.bytes.resize(size_t(rows * row_bytes(type, cols)));
  const bool is_float = g.block_elems == 1;
  for (uint8_t& b : m.bytes) b = uint8_t(random());
  for (int64_t block = 0; block < rows * cols / g.block_elems; ++block) {
    uint8_t* p = m.bytes.data() + block * g.block_bytes;
    const bool zero = block * g.block_elems / cols == zero_row;
    if (is_float) {
      const float value = zero ? 0.0f : with_outliers(random);
      const uint16_t half = type == QuantType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
      std::memcpy(p, type == QuantType::kF32 ? static_cast<const void*>(&value) : &half, size_t(g.block_bytes));
      continue;
    }
    for (int offset : half_fields(type)) {
      const uint16_t half = f32_to_f16(zero || random() % 16 == 0 ? 0.0f : 0.01f * with_outliers(random));
      std::memcpy(p + offset, &half, 2);
    }
  }
  m.weight = {type, rows, cols, m.bytes.data()};
  m.values.resize(size_t(rows * cols));
  dequantise(type, m.bytes.data(), rows * cols, m.values.data());
  return m;
}

// What |got - want| may be, [n_tokens, rows]. FP32 sums: each of n additions rounds by at most 2^-24 of the sum so far.
// The quantised paths (int8) add w = scale * q + offset in two parts, each up to twice the block's range. They round an
// activation to 1 / 32639 of the largest in its group of 32, so it is off by at most half a step either way, variance
// step^2 / 12. The errors of n products are independent: we allow six standard deviations of the sum.
inline std::vector<double> allowed_errors(const Matrix& m, MatView<const float> x, bool int8) {
  constexpr int64_t kGroup = 32;
  const int64_t rows = m.weight.rows, cols = m.weight.cols;
  auto largest = [&](const float* v) {
    std::vector<double> out(size_t(cols), 0.0);
    for (int64_t g = 0; g < cols; g += kGroup) {
      float top = 0;
      for (int64_t c = g; c < std::min(cols, g + kGroup); ++c) top = std::max(top, std::abs(v[c]));
      for (int64_t c = g; c < std::min(cols, g + kGroup); ++c) out[size_t(c)] = double(top);
    }
    return out;
  };
  std::vector<std::vector<double>> w_largest;
  for (int64_t r = 0; r < rows; ++r) w_largest.push_back(largest(m.values.data() + r * cols));
  std::vector<double> allowed;
  for (int64_t t = 0; t < x.rows; ++t) {
    const std::vector<double> x_largest = largest(x.row(t));
    for (int64_t r = 0; r < rows; ++r) {
      double variance = 0, magnitude = 0;
      for (int64_t c = 0; c < cols; ++c) {
        const double w = m.values[size_t(r * cols + c)], v = x.row(t)[c];
        const double x_error = x_largest[size_t(c)] / 32639 * w;
        variance += x_error * x_error / 12;
        magnitude += int8 ? 4 * w_largest[size_t(r)][size_t(c)] * std::abs(v) : std::abs(w * v);
      }
      allowed.push_back((int8 ? 6 * std::sqrt(variance) : 0.0) + magnitude * double(cols + 8) * 0x1p-24 + 1e-30);
    }
  }
  return allowed;
}

}  // namespace reform::test
