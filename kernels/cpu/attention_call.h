// What both ways through attention and the column sums share: the shapes of a call, a worker's scratch, and packing a
// tile.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>

#include "base/thread_pool.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/matrix_kernels.h"

namespace reform::cpu {

constexpr int64_t kTaskRows = 96;      // query rows of a task: their sums stay in the L2 cache beside a tile
constexpr int64_t kSumTiles = 4;       // tiles of a column-sum task: query rows are read once for all of them
constexpr int64_t kMinSplitTiles = 8;  // decode: a task's least share of the cache
constexpr int64_t kMaxSplits = 32;

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Slots [begin, end).
struct SlotRange {
  int64_t begin = 0, end = 0;
  bool empty() const { return begin >= end; }
};

// The shapes of one call.
struct Call {
  const AttentionArgs& args;
  int64_t head_dim, padded, n_heads, n_kv_heads, group, n_tokens, kv_len;
  float scale;  // logits in powers of two

  explicit Call(const AttentionArgs& a)
      : args(a),
        head_dim(a.kv.head_dim),
        padded(padded_dim(a.kv.head_dim)),
        n_heads(a.q.cols / a.kv.head_dim),
        n_kv_heads(a.kv.n_kv_heads),
        group(n_heads / n_kv_heads),
        n_tokens(a.q.rows),
        kv_len(a.kv.kv_len),
        scale(a.scale * 1.44269504f) {}

  int64_t rows() const { return n_tokens * group; }  // of one KV head
  SlotRange visible(int64_t t) const {
    const int64_t end = kv_len - n_tokens + t + 1;
    return {args.window > 0 ? std::max<int64_t>(0, end - args.window) : 0, end};
  }
  const float* query(int64_t t, int64_t head) const { return args.q.row(t) + head * head_dim; }
  SlotRange tiles_of(int64_t first_token, int64_t last_token) const {
    return {visible(first_token).begin / kTileSlots, ceil_div(visible(last_token).end, kTileSlots)};
  }
};

// Room for a packed tile, of either layout.
inline int64_t k_tile_floats(int64_t head_dim) { return matrix_dim(head_dim) * kTileSlots; }
inline int64_t v_tile_floats(int64_t head_dim) { return padded_dim(head_dim) * kTileSlots; }
inline int64_t tile_floats(int64_t head_dim) { return k_tile_floats(head_dim) + v_tile_floats(head_dim); }

// One worker's floats.
struct Scratch {
  float *pack, *cos, *sin, *logits, *k_tiles, *v_tile, *out, *max, *sum, *queries;

  static int64_t floats(int64_t head_dim) { return layout(nullptr, head_dim, nullptr); }
  static Scratch at(float* base, int64_t head_dim) {
    Scratch s;
    layout(base, head_dim, &s);
    return s;
  }

 private:
  static int64_t layout(float* base, int64_t head_dim, Scratch* s) {
    const int64_t padded = padded_dim(head_dim);
    const int64_t sizes[] = {16 * padded,
                             kTileSlots * padded,
                             kTileSlots * padded,
                             kMaxBlockRows * kTileSlots,
                             kSumTiles * k_tile_floats(head_dim),
                             kTileSlots * padded,
                             kTaskRows * padded,
                             kTaskRows,
                             kTaskRows * kSumLanes,
                             kTaskRows * matrix_dim(head_dim)};
    int64_t at = 0;
    float* parts[std::size(sizes)];
    for (size_t i = 0; i < std::size(sizes); ++i) {
      parts[i] = base == nullptr ? nullptr : base + at;
      at += round_up(sizes[i], 16);
    }
    if (s != nullptr) {
      *s = {parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], parts[6], parts[7], parts[8], parts[9]};
    }
    return at;
  }
};

// Packs tile `tile` of a KV head's keys (rotated if the call asks for it) or values.
using PackFn = void (*)(const PackArgs&);
void pack_key_tile(PackFn pack, const RopeTable& ropes, const Call& call, int64_t kv_head, int64_t tile,
                   const Scratch& scratch, float* out);
void pack_value_tile(PackFn pack, const Call& call, int64_t kv_head, int64_t tile, const Scratch& scratch, float* out);

// A KV head's biases of the slots of tile `tile`, as TileRows takes them. They are in `room`, or null if there are
// none.
inline const float* tile_bias(const Call& call, int64_t kv_head, int64_t tile, float (&room)[kTileSlots]) {
  const MatView<const float>& bias = call.args.slot_bias;
  const int64_t first = tile * kTileSlots, n = std::min(kTileSlots, bias.cols - first);
  if (bias.data == nullptr || n <= 0) return nullptr;
  const float* row = bias.row(bias.rows == 1 ? 0 : kv_head) + first;
  for (int64_t i = 0; i < kTileSlots; ++i) room[i] = i < n ? row[i] / call.args.scale : 0.0f;
  return room;
}

// The arguments of the column sums beside the call's own; as Ops::attention_column_sums.
struct ColumnCall {
  const Call& call;
  MatView<const float> lse;
  std::span<const int32_t> query_rows;
  std::span<const float> weights;

  float minus_lse(int64_t head, int64_t t) const { return float(-double(lse.row(head)[t]) * 1.4426950408889634); }
};

// Adds the column sums of `slots`: at most kSumTiles tiles, whole ones except at the cache's end.
void sum_columns(const CpuKernels& kernels, const RopeTable& ropes, const ColumnCall& columns, SlotRange slots,
                 const Scratch& scratch, std::span<float> sums);

// std::function would allocate for a lambda with more than two captures; a reference to it does not.
template <class Fn>
void run_tasks(ThreadPool& pool, int64_t n_tasks, Fn&& fn) {
  pool.parallel_for(n_tasks, std::ref(fn));
}

}  // namespace reform::cpu
