// One token's cross-layer embedding as it lies in a row: for each chosen head, its state L2-normalised and quantised to
// INT8; then one FP32 scale per head (REFORM section 3.2; the INT8 form lost no recall against FP32).
//   row = int8 values [n_heads * head_dim], float scales [n_heads], little-endian; on disk, never change.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/ops.h"
#include "runtime/compress/heads.h"
#include "runtime/model/transformer.h"

namespace reform {

struct EmbeddingLayout {
  int64_t n_heads = 0, head_dim = 0;

  int64_t value_bytes() const { return (n_heads * head_dim + 3) / 4 * 4; }  // padded so that the scales are aligned
  int64_t row_bytes() const { return value_bytes() + n_heads * 4; }
  // The values [n_heads, head_dim] of row `r`, and the bytes of its scales, which may lie at any address.
  const int8_t* values(std::span<const std::byte> rows, int64_t r) const {
    return reinterpret_cast<const int8_t*>(rows.data() + r * row_bytes());
  }
  const std::byte* scales(std::span<const std::byte> rows, int64_t r) const {
    return rows.data() + r * row_bytes() + value_bytes();
  }
};

inline MatView<const float> states_of(const LayerStates& states, HeadRef::Part part) {
  return part == HeadRef::Part::kQ ? states.q : part == HeadRef::Part::kK ? states.k : states.v;
}

// Writes the chosen heads' states of this layer, without the first skip_tokens, into rows [n_tokens, row_bytes].
void capture_states(Ops& ops, const Heads& heads, const EmbeddingLayout& layout, int64_t layer,
                    const LayerStates& states, int64_t skip_tokens, std::byte* rows);

}  // namespace reform
