// One KV head of a layer, for policies that decide for each alone.
#pragma once

#include "kernels/ops.h"

namespace reform {

inline KvView kv_head(KvView kv, int64_t g) {
  const int64_t head_bytes = kv.capacity * kv.head_dim * elem_bytes(kv.type);
  kv.k = static_cast<std::byte*>(kv.k) + g * head_bytes;
  kv.v = static_cast<std::byte*>(kv.v) + g * head_bytes;
  kv.n_kv_heads = 1;
  return kv;
}

// The query heads that read KV head g, as a call of their own.
struct KvHeadCall {
  AttentionArgs args;
  MatView<const float> lse;  // [n_heads / n_kv_heads, n_tokens]
};
inline KvHeadCall kv_head(const AttentionArgs& whole, MatView<const float> lse, int64_t g) {
  const int64_t n_kv_heads = whole.kv.n_kv_heads, cols = whole.q.cols / n_kv_heads, group = lse.rows / n_kv_heads;
  AttentionArgs args = whole;
  args.q = whole.q.col_range(g * cols, (g + 1) * cols);
  args.kv = kv_head(whole.kv, g);
  args.known_slots = 0;  // of another cache than this head's
  if (whole.slot_bias.rows > 1) args.slot_bias = whole.slot_bias.row_range(g, g + 1);
  return {args, lse.row_range(g * group, (g + 1) * group)};
}

}  // namespace reform
