// Random weights of any type for benches, of a realistic size.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "base/float16.h"
#include "base/quant_type.h"

namespace reform::bench {

// n_rows of `cols`, with about unit variance per output: any bits in the integer fields, small halves.
inline std::vector<uint8_t> random_weights(QuantType type, int64_t rows, int64_t cols) {
  const QuantGeometry& g = geometry(type);
  std::vector<uint8_t> bytes(size_t(rows * row_bytes(type, cols)));
  std::minstd_rand random(1);
  for (uint8_t& b : bytes) b = uint8_t(random() >> 8);
  const uint16_t half = f32_to_f16(0.01f);
  for (size_t block = 0; block < bytes.size(); block += size_t(g.block_bytes)) {
    uint8_t* p = bytes.data() + block;
    if (type == QuantType::kF32 || type == QuantType::kF16 || type == QuantType::kBF16) {
      const float value = float(int(random() % 2001) - 1000) * 1e-3f;
      const uint16_t short_value = type == QuantType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
      std::memcpy(p, type == QuantType::kF32 ? static_cast<const void*>(&value) : &short_value, size_t(g.block_bytes));
    } else if (type == QuantType::kQ2_K || type == QuantType::kQ3_K || type == QuantType::kQ6_K) {
      std::memcpy(p + g.block_bytes - 2, &half, 2);
      if (type == QuantType::kQ2_K) std::memcpy(p + g.block_bytes - 4, &half, 2);
    } else {
      std::memcpy(p, &half, 2);
      if (g.block_elems == 256 || type == QuantType::kQ4_1 || type == QuantType::kQ5_1) std::memcpy(p + 2, &half, 2);
    }
  }
  return bytes;
}

// The same, but `distinct` rows repeat, which makes large matrices faster.
inline std::vector<uint8_t> repeated_weights(QuantType type, int64_t rows, int64_t cols, int64_t distinct) {
  const std::vector<uint8_t> some = random_weights(type, std::min(rows, distinct), cols);
  std::vector<uint8_t> bytes(size_t(rows * row_bytes(type, cols)));
  for (size_t at = 0; at < bytes.size(); at += some.size()) {
    std::memcpy(bytes.data() + at, some.data(), std::min(some.size(), bytes.size() - at));
  }
  return bytes;
}

}  // namespace reform::bench
