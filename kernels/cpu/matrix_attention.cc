// The matrix unit's share of attention.cc and column_sums.cc: blocks of kMatrixRows rows against packed tiles.
#include "kernels/cpu/matrix_attention.h"

namespace reform::cpu {
namespace {

static_assert(kTaskRows == kMatrixRows);

uint16_t* panels(float* room) { return reinterpret_cast<uint16_t*>(room); }
const uint16_t* panels(const float* room) { return reinterpret_cast<const uint16_t*>(room); }

// The rows of a block, and what they see, in ascending order.
struct Rows {
  int n = 0;
  const float* queries[kMatrixRows];
  int32_t begin[kMatrixRows] = {}, end[kMatrixRows] = {};

  void add(const float* query, SlotRange seen) {
    queries[n] = query;
    begin[n] = int32_t(seen.begin);
    end[n] = int32_t(seen.end);
    ++n;
  }
  bool any_sees(SlotRange slots) const { return begin[0] < slots.end && end[n - 1] > slots.begin; }
};

// The calling thread's use of the unit's registers. The system saves their 8 KiB with the thread while they are in use.
class RegistersInUse {
 public:
  explicit RegistersInUse(const MatrixKernels& kernels) : kernels_(kernels) { kernels_.configure(); }
  ~RegistersInUse() { kernels_.release(); }
  RegistersInUse(const RegistersInUse&) = delete;
  RegistersInUse& operator=(const RegistersInUse&) = delete;

 private:
  const MatrixKernels& kernels_;
};

}  // namespace

void attend_matrix_rows(const MatrixKernels& kernels, const Call& call, int64_t kv_head, SlotRange rows,
                        SlotRange tiles, const float* packed, const Scratch& s) {
  const RegistersInUse in_use(kernels);
  Rows block;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t t = row / call.group;
    block.add(call.query(t, kv_head * call.group + row % call.group), call.visible(t));
  }
  kernels.pack_queries(block.queries, block.n, call.head_dim, panels(s.queries));
  for (int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
    const float* const keys = packed + (tile - tiles.begin) * tile_floats(call.head_dim);
    float room[kTileSlots];
    kernels.attend({block.n, call.head_dim, call.scale, panels(s.queries), panels(keys), int32_t(tile * kTileSlots),
                    block.begin, block.end, tile_bias(call, kv_head, tile, room),
                    tile + 1 < tiles.end ? keys + tile_floats(call.head_dim) : keys},
                   panels(keys + k_tile_floats(call.head_dim)), {s.max, s.sum, s.out});
  }
}

const float* matrix_numerators(const Call& call, int64_t row, const Scratch& s) {
  const float* const panel = s.out + row / 16 * 16 * call.padded;
  for (int64_t d = 0; d < call.head_dim; ++d) s.pack[d] = panel[d * 16 + row % 16];
  return s.pack;
}

void add_matrix_head(const MatrixKernels& kernels, const ColumnCall& columns, int64_t head, SlotRange slots,
                     SlotRange chosen, const float* const* biases, const Scratch& s, float* sums) {
  const Call& call = columns.call;
  const RegistersInUse in_use(kernels);
  float lanes[kSumTiles * kTileSlots * 16] = {};
  for (int64_t i0 = chosen.begin; i0 < chosen.end; i0 += kMatrixRows) {
    Rows block;
    float minus_lse[kMatrixRows] = {}, weights[kMatrixRows] = {};
    for (int64_t i = i0; i < std::min(chosen.end, i0 + kMatrixRows); ++i) {
      const int64_t t = columns.query_rows[size_t(i)];
      minus_lse[block.n] = columns.minus_lse(head, t);
      weights[block.n] = columns.weights[size_t(i)];
      block.add(call.query(t, head), call.visible(t));
    }
    kernels.pack_queries(block.queries, block.n, call.head_dim, panels(s.queries));
    for (int64_t first = slots.begin; first < slots.end; first += kTileSlots) {
      if (!block.any_sees({first, first + kTileSlots})) continue;
      const int64_t tile = (first - slots.begin) / kTileSlots;
      const float* const keys = s.k_tiles + tile * k_tile_floats(call.head_dim);
      kernels.column_sums({block.n, call.head_dim, call.scale, panels(s.queries), panels(keys), int32_t(first),
                           block.begin, block.end, biases[tile], nullptr},
                          minus_lse, weights, lanes + tile * kTileSlots * 16);
    }
  }
  for (int64_t i = 0; i < kSumTiles * kTileSlots; ++i) {
    for (int64_t lane = 0; lane < 16; ++lane) sums[i] += lanes[i * 16 + lane];
  }
}

}  // namespace reform::cpu
