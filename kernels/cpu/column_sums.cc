// Accumulated attention. A task owns a range of slots and goes over all heads and chosen queries, so threads have no
// sums to add up between them.
#include "kernels/cpu/attention_call.h"
#include "kernels/cpu/matrix_attention.h"

namespace reform::cpu {
namespace {

// Chosen queries [first, last) of query head `head` against the packed tiles of `slots`, which have `biases`.
void add_head(const CpuKernels& kernels, const ColumnCall& columns, int64_t head, SlotRange slots, int64_t first,
              int64_t last, const float* k_tiles, const float* const* biases, float* sums) {
  const Call& call = columns.call;
  float minus_lse[kMaxBlockRows];
  TileRows block = {0, call.head_dim, call.scale, nullptr, {}, {}, {}};
  for (int64_t i0 = first; i0 < last; i0 += kMaxBlockRows) {
    block.n_rows = int(std::min<int64_t>(kMaxBlockRows, last - i0));
    SlotRange seen[kMaxBlockRows];
    for (int i = 0; i < block.n_rows; ++i) {
      const int64_t t = columns.query_rows[size_t(i0 + i)];
      seen[i] = call.visible(t);
      block.q[i] = call.query(t, head);
      minus_lse[i] = columns.minus_lse(head, t);
    }
    for (int64_t begin = slots.begin; begin < slots.end; begin += kTileSlots) {
      bool any = false;
      for (int i = 0; i < block.n_rows; ++i) {
        block.begin[i] = int32_t(std::clamp<int64_t>(seen[i].begin - begin, 0, kTileSlots));
        block.end[i] = int32_t(std::clamp<int64_t>(seen[i].end - begin, 0, kTileSlots));
        any = any || block.begin[i] < block.end[i];
      }
      if (!any) continue;
      block.bias = biases[(begin - slots.begin) / kTileSlots];
      block.k_tile = k_tiles + (begin - slots.begin) / kTileSlots * k_tile_floats(call.head_dim);
      kernels.column_sums(block, minus_lse, columns.weights.data() + i0, sums + (begin - slots.begin));
    }
  }
}

}  // namespace

void sum_columns(const CpuKernels& kernels, const RopeTable& ropes, const ColumnCall& columns, SlotRange slots,
                 const Scratch& scratch, std::span<float> sums) {
  const Call& call = columns.call;
  // Row t sees slots from the window's begin up to kv_len - n_tokens + t.
  const auto& rows = columns.query_rows;
  const int64_t offset = call.kv_len - call.n_tokens;
  const auto from = std::lower_bound(rows.begin(), rows.end(), slots.begin - offset);
  const auto to =
      call.args.window > 0 ? std::lower_bound(from, rows.end(), slots.end - offset - 1 + call.args.window) : rows.end();
  const int64_t first = from - rows.begin(), last = to - rows.begin();
  if (first == last) return;
  // Few queries leave most of a matrix product empty.
  const MatrixKernels* const matrix = last - first >= 16 ? kernels.matrix : nullptr;
  const PackFn pack = matrix != nullptr ? matrix->pack_keys : kernels.pack_keys;
  double totals[kSumTiles * kTileSlots] = {};
  for (int64_t kv_head = 0; kv_head < call.n_kv_heads; ++kv_head) {
    float bias_room[kSumTiles][kTileSlots];
    const float* biases[kSumTiles];
    for (int64_t tile = 0; tile * kTileSlots < slots.end - slots.begin; ++tile) {
      biases[tile] = tile_bias(call, kv_head, slots.begin / kTileSlots + tile, bias_room[tile]);
      pack_key_tile(pack, ropes, call, kv_head, slots.begin / kTileSlots + tile, scratch,
                    scratch.k_tiles + tile * k_tile_floats(call.head_dim));
    }
    for (int64_t g = 0; g < call.group; ++g) {
      // A head's sums are FP32 (at most n_tokens terms of one sign); the sums of the heads are double.
      float head_sums[kSumTiles * kTileSlots] = {};
      const int64_t head = kv_head * call.group + g;
      if (matrix != nullptr) {
        add_matrix_head(*matrix, columns, head, slots, {first, last}, biases, scratch, head_sums);
      } else {
        add_head(kernels, columns, head, slots, first, last, scratch.k_tiles, biases, head_sums);
      }
      for (int64_t i = 0; i < kSumTiles * kTileSlots; ++i) totals[i] += double(head_sums[i]);
    }
  }
  for (int64_t slot = slots.begin; slot < slots.end; ++slot) {
    sums[size_t(slot)] += float(totals[slot - slots.begin] / double(call.n_heads));
  }
}

}  // namespace reform::cpu
