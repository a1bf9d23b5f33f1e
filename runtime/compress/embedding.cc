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

}  // namespace reform
