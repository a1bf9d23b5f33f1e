// Random weights that need little memory. There is one run of pseudo-random blocks, and every matrix of a synthetic
// model is that run repeated, beginning at a block of its own. The run depends only on type and size, so it is the same
// on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/quant_type.h"

namespace reform {

// A bijection of 64 bits with no visible pattern: the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
uint64_t mix_bits(uint64_t x);

// Where a block keeps its scale (a plain number is its own) and, if it has one, the factor of its minimum (-1: none).
// They are infinite or NaN if all bits of `exponent` are set.
struct ScalePlaces {
  int scale_at, min_at;
  uint32_t exponent;
};
ScalePlaces scale_places(QuantType type);

class WeightPattern {
 public:
  // Dequantised values are symmetric round 0 with this standard deviation, with which published models begin their
  // training. A layer's outputs then stay near 1, even after 40 layers.
  static constexpr float kDeviation = 0.02f;

  // Takes at most `most_bytes`. The number of blocks is a prime, so that no row repeats within as many rows.
  WeightPattern(QuantType type, int64_t most_bytes);

  // The bytes of matrix `index` from `begin_byte` on: at most `n_bytes`, at least one, and fewer where the run ends.
  std::span<const std::byte> piece(int64_t index, int64_t begin_byte, int64_t n_bytes) const;

 private:
  void scale_blocks();
  void fill_floats();

  const QuantType type_;
  std::vector<std::byte> bytes_;
};

}  // namespace reform
