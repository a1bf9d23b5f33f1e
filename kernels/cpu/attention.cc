#include "kernels/cpu/attention.h"

#include <cmath>

#include "base/try.h"
#include "kernels/cpu/attention_call.h"
#include "kernels/cpu/matrix_attention.h"

namespace reform::cpu {
namespace {

// Memory for packed heads. As many heads as fit are packed at once, so a short cache needs few parallel steps and a
// long one takes bounded memory.
constexpr int64_t kPackedBudgetBytes = int64_t(32) << 20;

int64_t packed_head_floats(int64_t head_dim, int64_t kv_len) {
  return ceil_div(kv_len, kTileSlots) * tile_floats(head_dim);
}

int64_t heads_at_once(const OpLimits& limits) {
  const int64_t head_bytes = packed_head_floats(limits.head_dim, limits.max_kv_len) * int64_t(sizeof(float));
  return std::clamp<int64_t>(kPackedBudgetBytes / std::max<int64_t>(head_bytes, 1), 1, limits.n_kv_heads);
}

// Tiles per task when the tasks are ranges of the cache. It depends on kv_len only.
int64_t split_tiles(int64_t kv_len) {
  return std::max(kMinSplitTiles, ceil_div(ceil_div(kv_len, kTileSlots), kMaxSplits));
}

// A row's partial result: numerators, largest logit, denominator.
int64_t partial_floats(int64_t head_dim) { return padded_dim(head_dim) + 16; }

void start_rows(const Call& call, int64_t n_rows, const Scratch& s) {
  std::fill_n(s.out, n_rows * call.padded, 0.0f);
  std::fill_n(s.max, n_rows, kNoLogit);
  std::fill_n(s.sum, n_rows * kSumLanes, 0.0f);
}

// Attends rows [begin, end) of a KV head to one tile; their sums begin at s.out.
void attend_tile(const CpuKernels& kernels, const Call& call, int64_t kv_head, SlotRange rows, int64_t tile,
                 const float* k_tile, const float* v_tile, const Scratch& s) {
  const int64_t n_rows = rows.end - rows.begin;
  const int64_t n_blocks = ceil_div(n_rows, kMaxBlockRows), block_rows = ceil_div(n_rows, n_blocks);
  float bias[kTileSlots];
  TileRows block = {0, call.head_dim, call.scale, k_tile, {}, {}, {}, tile_bias(call, kv_head, tile, bias)};
  for (int64_t first = 0; first < n_rows; first += block_rows) {
    block.n_rows = int(std::min(block_rows, n_rows - first));
    bool any = false;
    for (int i = 0; i < block.n_rows; ++i) {
      const int64_t row = rows.begin + first + i, t = row / call.group;
      const SlotRange seen = call.visible(t);
      block.q[i] = call.query(t, kv_head * call.group + row % call.group);
      block.begin[i] = int32_t(std::clamp<int64_t>(seen.begin - tile * kTileSlots, 0, kTileSlots));
      block.end[i] = int32_t(std::clamp<int64_t>(seen.end - tile * kTileSlots, 0, kTileSlots));
      any = any || block.begin[i] < block.end[i];
    }
    if (!any) continue;
    kernels.attend(block, v_tile, {s.max + first, s.sum + first * kSumLanes, s.out + first * call.padded, s.logits});
  }
}

float sum_lanes(const float* lanes) {
  float total = 0;
  for (int i = 0; i < kSumLanes; ++i) total += lanes[i];
  return total;
}

void write_row(const Call& call, int64_t kv_head, int64_t row, const float* numerators, float max, float denominator,
               MatView<float> out, MatView<float> lse) {
  const int64_t t = row / call.group, head = kv_head * call.group + row % call.group;
  float* to = out.row(t) + head * call.head_dim;
  const float factor = 1.0f / denominator;
  for (int64_t d = 0; d < call.head_dim; ++d) to[d] = numerators[d] * factor;
  if (lse.data != nullptr) {
    lse.row(head)[t] = float((double(max) + std::log2(double(denominator))) * M_LN2);
  }
}

}  // namespace

void pack_key_tile(PackFn pack_tile, const RopeTable& ropes, const Call& call, int64_t kv_head, int64_t tile,
                   const Scratch& scratch, float* out) {
  const KvView& kv = call.args.kv;
  const int64_t first = tile * kTileSlots, n_slots = std::min(kTileSlots, kv.kv_len - first);
  const bool is_f16 = kv.type == KvView::Type::kF16;
  const char* rows = static_cast<const char*>(kv.k) + (kv_head * kv.capacity + first) * kv.head_dim * (is_f16 ? 2 : 4);
  PackArgs pack = {is_f16, rows, n_slots, kv.head_dim, scratch.cos, scratch.sin, 0, false, scratch.pack, out};
  if (const Rope* rope = call.args.key_rope; rope != nullptr) {
    static_assert(kTileSlots <= RopeTable::kRun);
    pack.n_pairs = int64_t(rope->inv_freq.size());
    pack.halves = rope->pairing == Rope::Pairing::kHalves;
    ropes.fill(*rope, first, n_slots, scratch.cos, scratch.sin);
  }
  pack_tile(pack);
}

void pack_value_tile(PackFn pack, const Call& call, int64_t kv_head, int64_t tile, const Scratch& scratch, float* out) {
  const KvView& kv = call.args.kv;
  const int64_t first = tile * kTileSlots, n_slots = std::min(kTileSlots, kv.kv_len - first);
  const bool is_f16 = kv.type == KvView::Type::kF16;
  const char* rows = static_cast<const char*>(kv.v) + (kv_head * kv.capacity + first) * kv.head_dim * (is_f16 ? 2 : 4);
  pack({is_f16, rows, n_slots, kv.head_dim, nullptr, nullptr, 0, false, scratch.pack, out});
}

Attention::Attention(const CpuKernels& kernels, const OpLimits& limits, ThreadPool& pool, RopeTable& ropes)
    : kernels_(kernels), limits_(limits), pool_(pool), ropes_(ropes) {}

int64_t Attention::workspace_bytes(const OpLimits& limits, int n_threads) {
  const int64_t workers = n_threads * Scratch::floats(limits.head_dim);
  const int64_t packed = heads_at_once(limits) * packed_head_floats(limits.head_dim, limits.max_kv_len);
  const int64_t n_splits = ceil_div(ceil_div(limits.max_kv_len, kTileSlots), kMinSplitTiles);
  const int64_t partials =
      limits.n_kv_heads * std::min(n_splits, kMaxSplits) * kTaskRows * partial_floats(limits.head_dim);
  return (workers + std::max(packed, partials)) * int64_t(sizeof(float));
}

void Attention::attention(const AttentionArgs& args, MatView<float> out, MatView<float> lse,
                          std::span<std::byte> workspace) {
  const Call call(args);
  if (call.n_tokens == 0) return;
  if (args.key_rope != nullptr) ropes_.prepare(*args.key_rope);
  if (call.rows() <= kTaskRows) {
    attend_splits(call, out, lse, workspace);
  } else {
    attend_row_blocks(call, out, lse, workspace);
  }
}

void Attention::attend_row_blocks(const Call& call, MatView<float> out, MatView<float> lse,
                                  std::span<std::byte> workspace) {
  float* const base = reinterpret_cast<float*>(workspace.data());
  const int64_t worker_floats = Scratch::floats(call.head_dim);
  float* const packed = base + pool_.size() * worker_floats;
  const MatrixKernels* const matrix = kernels_.matrix;
  const PackFn pack_keys = matrix != nullptr ? matrix->pack_keys : kernels_.pack_keys;
  const PackFn pack_values = matrix != nullptr ? matrix->pack_values : kernels_.pack_values;
  const int64_t k_floats = k_tile_floats(call.head_dim);
  const SlotRange tiles = call.tiles_of(0, call.n_tokens - 1);
  const int64_t n_tiles = tiles.end - tiles.begin, n_blocks = ceil_div(call.rows(), kTaskRows);
  const int64_t batch = heads_at_once(limits_);
  const auto tile_at = [&](int64_t head_in_batch, int64_t tile) {
    return packed + (head_in_batch * n_tiles + tile - tiles.begin) * tile_floats(call.head_dim);
  };
  for (int64_t first_head = 0; first_head < call.n_kv_heads; first_head += batch) {
    const int64_t n_batch = std::min(batch, call.n_kv_heads - first_head);
    run_tasks(pool_, n_batch * n_tiles, [&](int64_t task, int worker) {
      const Scratch s = Scratch::at(base + worker * worker_floats, call.head_dim);
      const int64_t head = task / n_tiles, tile = tiles.begin + task % n_tiles;
      pack_key_tile(pack_keys, ropes_, call, first_head + head, tile, s, tile_at(head, tile));
      pack_value_tile(pack_values, call, first_head + head, tile, s, tile_at(head, tile) + k_floats);
    });
    run_tasks(pool_, n_batch * n_blocks, [&](int64_t task, int worker) {
      const Scratch s = Scratch::at(base + worker * worker_floats, call.head_dim);
      const int64_t head = task % n_batch;
      // The last rows see the most slots. They go first, so that no thread is left with a long task at the end.
      const int64_t block = n_blocks - 1 - task / n_batch;
      const SlotRange rows = {block * kTaskRows, std::min(call.rows(), (block + 1) * kTaskRows)};
      const SlotRange seen = call.tiles_of(rows.begin / call.group, (rows.end - 1) / call.group);
      const int64_t n_rows = rows.end - rows.begin;
      start_rows(call, matrix != nullptr ? kTaskRows : n_rows, s);
      if (matrix != nullptr) {
        attend_matrix_rows(*matrix, call, first_head + head, rows, seen, tile_at(head, seen.begin), s);
      } else {
        for (int64_t tile = seen.begin; tile < seen.end; ++tile) {
          const float* k_tile = tile_at(head, tile);
          attend_tile(kernels_, call, first_head + head, rows, tile, k_tile, k_tile + k_floats, s);
        }
      }
      for (int64_t r = 0; r < n_rows; ++r) {
        const float* const numerators = matrix != nullptr ? matrix_numerators(call, r, s) : s.out + r * call.padded;
        const float denominator = matrix != nullptr ? s.sum[r] : sum_lanes(s.sum + r * kSumLanes);
        write_row(call, first_head + head, rows.begin + r, numerators, s.max[r], denominator, out, lse);
      }
    });
  }
}

void Attention::attend_splits(const Call& call, MatView<float> out, MatView<float> lse,
                              std::span<std::byte> workspace) {
  float* const base = reinterpret_cast<float*>(workspace.data());
  const int64_t worker_floats = Scratch::floats(call.head_dim), row_floats = partial_floats(call.head_dim);
  float* const partials = base + pool_.size() * worker_floats;
  const SlotRange tiles = call.tiles_of(0, call.n_tokens - 1);
  // Boundaries are counted from slot 0, so that they do not move with the window.
  const int64_t per_split = split_tiles(call.kv_len);
  const int64_t first_split = tiles.begin / per_split, n_splits = ceil_div(tiles.end, per_split) - first_split;
  const int64_t n_rows = call.rows();
  const auto partial = [&](int64_t head, int64_t split, int64_t row) {
    return partials + ((head * n_splits + split) * n_rows + row) * row_floats;
  };
  run_tasks(pool_, call.n_kv_heads * n_splits, [&](int64_t task, int worker) {
    const Scratch s = Scratch::at(base + worker * worker_floats, call.head_dim);
    const int64_t head = task / n_splits, split = task % n_splits;
    const int64_t begin = std::max(tiles.begin, (first_split + split) * per_split);
    const int64_t end = std::min(tiles.end, (first_split + split + 1) * per_split);
    start_rows(call, n_rows, s);
    for (int64_t tile = begin; tile < end; ++tile) {
      pack_key_tile(kernels_.pack_keys, ropes_, call, head, tile, s, s.k_tiles);
      pack_value_tile(kernels_.pack_values, call, head, tile, s, s.v_tile);
      attend_tile(kernels_, call, head, {0, n_rows}, tile, s.k_tiles, s.v_tile, s);
    }
    for (int64_t r = 0; r < n_rows; ++r) {
      float* to = partial(head, split, r);
      std::copy_n(s.out + r * call.padded, call.padded, to);
      to[call.padded] = s.max[r];
      to[call.padded + 1] = sum_lanes(s.sum + r * kSumLanes);
    }
  });
  run_tasks(pool_, call.n_kv_heads, [&](int64_t head, int) {
    for (int64_t r = 0; r < n_rows; ++r) {
      float* merged = partial(head, 0, r);
      float top = kNoLogit, denominator = 0;
      for (int64_t split = 0; split < n_splits; ++split) top = std::max(top, partial(head, split, r)[call.padded]);
      for (int64_t split = 0; split < n_splits; ++split) {
        const float* part = partial(head, split, r);
        const float factor = std::exp2(part[call.padded] - top);
        denominator += factor * part[call.padded + 1];
        for (int64_t d = 0; d < call.padded; ++d) {
          merged[d] = split == 0 ? factor * part[d] : merged[d] + factor * part[d];
        }
      }
      write_row(call, head, r, merged, top, denominator, out, lse);
    }
  });
}

void Attention::column_sums(const AttentionArgs& args, MatView<const float> lse, std::span<const int32_t> query_rows,
                            std::span<const float> query_weights, std::span<float> sums,
                            std::span<std::byte> workspace) {
  const Call call(args);
  if (args.key_rope != nullptr) ropes_.prepare(*args.key_rope);
  float* const base = reinterpret_cast<float*>(workspace.data());
  const int64_t worker_floats = Scratch::floats(call.head_dim);
  const ColumnCall columns = {call, lse, query_rows, query_weights};
  constexpr int64_t kTaskSlots = kSumTiles * kTileSlots;
  run_tasks(pool_, ceil_div(call.kv_len, kTaskSlots), [&](int64_t task, int worker) {
    const Scratch s = Scratch::at(base + worker * worker_floats, call.head_dim);
    const SlotRange slots = {task * kTaskSlots, std::min(call.kv_len, (task + 1) * kTaskSlots)};
    sum_columns(kernels_, ropes_, columns, slots, s, sums);
  });
}

}  // namespace reform::cpu
