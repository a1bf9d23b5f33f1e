// One token's cross-layer embedding as it lies in a row: for each chosen head, its state L2-normalised and quantised to
// INT8; then one FP32 scale per head (REFORM section 3.2; the INT8 form lost no recall against FP32).
//   row = int8 values [n_heads * head_dim], float scales [n_heads], little-endian; on disk, never change.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/ops.h"
#include "runtime/compress/heads.h"
#include "runtime/model/transformer.h"

namespace reform {

struct EmbeddingLayout {
  int64_t n_heads = 0, head_dim = 0;

  int64_t value_bytes() const { return (n_heads * head_dim + 3) / 4 * 4; }  // padded so that the scales are aligned
  int64_t row_bytes() const { return value_bytes() + n_heads * 4; }
};

inline MatView<const float> states_of(const LayerStates& states, HeadRef::Part part) {
  return part == HeadRef::Part::kQ ? states.q : part == HeadRef::Part::kK ? states.k : states.v;
}

// Writes the chosen heads' states of this layer, without the first skip_tokens, into rows [n_tokens, row_bytes].
void capture_states(Ops& ops, const Heads& heads, const EmbeddingLayout& layout, int64_t layer,
                    const LayerStates& states, int64_t skip_tokens, std::byte* rows);

// Splits rows into the arrays that Ops::score() takes. Reused block after block; grows to the largest.
class SplitRows {
 public:
  explicit SplitRows(const EmbeddingLayout& layout) : layout_(layout) {}
  EmbeddingRows split(std::span<const std::byte> rows);

 private:
  EmbeddingLayout layout_;
  std::vector<int8_t> values_;
  std::vector<float> scales_;
};

}  // namespace reform
