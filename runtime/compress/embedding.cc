#include "runtime/compress/embedding.h"

namespace reform {

void capture_states(Ops& ops, const Heads& heads, const EmbeddingLayout& layout, int64_t layer,
                    const LayerStates& states, int64_t skip_tokens, std::byte* rows) {
  for (size_t i = 0; i < heads.size(); ++i) {
    if (heads[i].layer != layer) continue;
    const MatView<const float> all = states_of(states, heads[i].part);
    const int64_t d = layout.head_dim, begin = heads[i].head * d;
    const int64_t n_tokens = all.rows - skip_tokens;
    int8_t* values = reinterpret_cast<int8_t*>(rows) + int64_t(i) * d;
    float* scales = reinterpret_cast<float*>(rows + layout.value_bytes()) + i;
    ops.normalise_quantise(all.row_range(skip_tokens, all.rows).col_range(begin, begin + d), {},
                           {values, n_tokens, d, layout.row_bytes()}, {scales, n_tokens, 1, layout.row_bytes() / 4});
  }
}

EmbeddingRows SplitRows::split(std::span<const std::byte> rows) {
  const int64_t n = int64_t(rows.size()) / layout_.row_bytes(), width = layout_.n_heads * layout_.head_dim;
  if (int64_t(values_.size()) < n * width) values_.resize(size_t(n * width));
  if (int64_t(scales_.size()) < n * layout_.n_heads) scales_.resize(size_t(n * layout_.n_heads));
  for (int64_t r = 0; r < n; ++r) {
    const std::byte* row = rows.data() + r * layout_.row_bytes();
    std::memcpy(values_.data() + r * width, row, size_t(width));
    std::memcpy(scales_.data() + r * layout_.n_heads, row + layout_.value_bytes(), size_t(layout_.n_heads) * 4);
  }
  return {values_.data(), scales_.data(), n, layout_.n_heads, layout_.head_dim};
}

}  // namespace reform
