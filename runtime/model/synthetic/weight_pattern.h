// Random weights that nothing needs to store: one run of pseudo-random blocks, and every matrix of a synthetic model is
// a piece of it, each from another block on, over and over. A function of type and size only: the same everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/quant_type.h"

namespace reform {

// A bijection of 64 bits with no visible pattern: the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
uint64_t mix_bits(uint64_t x);

class WeightPattern {
 public:
  // Dequantised values are symmetric round 0, with this standard deviation: what published models begin their training
  // with. A layer's outputs stay near 1, also after 40 layers.
  static constexpr float kDeviation = 0.02f;

  // Of at most so many bytes. The number of blocks is a prime, so that rows do not repeat before there are as many.
  WeightPattern(QuantType type, int64_t most_bytes);

  // The bytes of matrix `index` from `begin_byte` on, as far as they lie together: at least one, at most `n_bytes`.
  std::span<const std::byte> piece(int64_t index, int64_t begin_byte, int64_t n_bytes) const;

 private:
  void scale_blocks();
  void fill_floats();

  const QuantType type_;
  std::vector<std::byte> bytes_;
};

}  // namespace reform
