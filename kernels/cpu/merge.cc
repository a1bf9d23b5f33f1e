#include "kernels/cpu/merge.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "base/try.h"
#include "kernels/cpu/attention_call.h"

namespace reform::cpu {
namespace {

constexpr int32_t kStays = -1;  // in the place of the merged slot that a slot joins

// The workspace behind the workers' scratch.
struct MergeRoom {
  float* tiles;    // the merged slots' keys, packed
  float* means;    // [2, n_merged, padded_dim] of keys, of values
  float* totals;   // [n_merged] the new weights
  int32_t* joins;  // [kv_len] the merged slot that each slot joins

  static int64_t floats(int64_t n_merged, int64_t kv_len, int64_t head_dim) {
    return tiles_floats(n_merged, head_dim) + 2 * n_merged * padded_dim(head_dim) + n_merged + kv_len;
  }
  MergeRoom(float* base, int64_t n_merged, int64_t kv_len, int64_t head_dim)
      : tiles(base),
        means(tiles + tiles_floats(n_merged, head_dim)),
        totals(means + 2 * n_merged * padded_dim(head_dim)),
        joins(reinterpret_cast<int32_t*>(totals + n_merged)) {
    std::fill_n(joins, kv_len, kStays);
  }

 private:
  static int64_t tiles_floats(int64_t n_merged, int64_t head_dim) {
    return ceil_div(n_merged, kTileSlots) * k_tile_floats(head_dim);
  }
};

class Merge {
 public:
  Merge(const CpuKernels& kernels, ThreadPool& pool, const KvView& kv, bool has_merged,
        std::span<const int32_t> singles, std::span<float> weights, std::span<std::byte> workspace)
      : kernels_(kernels),
        pool_(pool),
        kv_(kv),
        singles_(singles),
        weights_(weights),
        n_merged_(int64_t(weights.size())),
        n_old_(has_merged ? n_merged_ : 0),
        slot_bytes_(kv.head_dim * elem_bytes(kv.type)),
        workers_(reinterpret_cast<float*>(workspace.data())),
        room_(workers_ + pool.size() * Scratch::floats(kv.head_dim), n_merged_, kv.kv_len, kv.head_dim) {}

  void run(std::span<float> bias) {
    if (n_old_ > 0) {
      join_nearest();
    } else {
      join_runs();
    }
    std::fill_n(room_.totals, n_merged_, 0.0f);
    for (int64_t slot = 0; slot < kv_.kv_len; ++slot)
      if (room_.joins[slot] != kStays) ++room_.totals[room_.joins[slot]];
    for (int64_t i = 0; i < n_old_; ++i) room_.totals[i] += weights_[size_t(i)];  // large ones would not see a 1
    run_tasks(pool_, 2, [&](int64_t task, int worker) {
      void* const base = task == 0 ? kv_.k : kv_.v;
      float* const means = room_.means + task * n_merged_ * padded();
      add_up(base, scratch(worker).v_tile, means);
      move_singles(base);
      for (int64_t i = 0; i < n_merged_; ++i) store_row(means + i * padded(), base, i);
    });
    for (int64_t i = 0; i < n_merged_; ++i) {
      weights_[size_t(i)] = room_.totals[i];
      bias[size_t(i)] = std::log(room_.totals[i]);
    }
  }

 private:
  int64_t padded() const { return padded_dim(kv_.head_dim); }
  Scratch scratch(int worker) const {
    return Scratch::at(workers_ + worker * Scratch::floats(kv_.head_dim), kv_.head_dim);
  }
  std::byte* slot(void* base, int64_t i) const { return static_cast<std::byte*>(base) + i * slot_bytes_; }
  PackArgs pack_args(void* base, int64_t first_slot, float* pack, float* out) const {
    const int64_t n_slots = std::min(kTileSlots, kv_.kv_len - first_slot);
    return {kv_.type == KvView::Type::kF16,
            slot(base, first_slot),
            n_slots,
            kv_.head_dim,
            nullptr,
            nullptr,
            0,
            false,
            pack,
            out};
  }

  // fn(slot) for each slot that is neither merged yet nor stays, ascending.
  template <class Fn>
  void for_dropped(Fn fn) const {
    auto single = singles_.begin();
    for (int64_t slot = n_old_; slot < kv_.kv_len; ++slot) {
      if (single != singles_.end() && *single + n_old_ == slot) {
        ++single;
      } else {
        fn(slot);
      }
    }
  }

  void join_runs() {
    const int64_t n_dropped = kv_.kv_len - int64_t(singles_.size());
    const int64_t run = n_dropped / n_merged_, n_longer = n_dropped % n_merged_;
    CHECK(run > 0);
    int64_t to = 0, left = run + (n_longer > 0 ? 1 : 0);  // slots that merged slot `to` still takes
    for_dropped([&](int64_t slot) {
      if (left == 0) ++to, left = run + (to < n_longer ? 1 : 0);
      room_.joins[slot] = int32_t(to), --left;
    });
  }

  void join_nearest() {
    for (int64_t first = 0; first < n_merged_; first += kTileSlots)
      kernels_.pack_keys(pack_args(kv_.k, first, scratch(0).pack, room_.tiles + first * kv_.head_dim));
    for_dropped([&](int64_t slot) { room_.joins[slot] = 0; });
    run_tasks(pool_, ceil_div(kv_.kv_len, kTileSlots), [&](int64_t tile, int worker) {
      const Scratch s = scratch(worker);
      const int64_t begin = tile * kTileSlots, end = std::min(kv_.kv_len, begin + kTileSlots);
      kernels_.pack_values(pack_args(kv_.k, begin, s.pack, s.v_tile));
      for (int64_t slot = begin; slot < end; ++slot)
        if (room_.joins[slot] != kStays) room_.joins[slot] = nearest(s.v_tile + (slot - begin) * padded());
    });
  }

  // The merged slot whose key has the largest dot product with `key`.
  int32_t nearest(const float* key) const {
    float best = -std::numeric_limits<float>::infinity();
    int32_t at = 0;
    for (int64_t first = 0; first < n_merged_; first += kTileSlots) {
      const float* column = room_.tiles + first * kv_.head_dim;
      float dots[kTileSlots] = {};
      for (int64_t d = 0; d < kv_.head_dim; ++d, column += kTileSlots)
        for (int64_t i = 0; i < kTileSlots; ++i) dots[i] += key[d] * column[i];
      for (int64_t i = 0; i < std::min(kTileSlots, n_merged_ - first); ++i)
        if (dots[i] > best) best = dots[i], at = int32_t(first + i);
    }
    return at;
  }

  // means = those of the merged slots' old tokens and of the slots that join them.
  void add_up(void* base, float* tile, float* means) const {
    std::fill_n(means, n_merged_ * padded(), 0.0f);
    for (int64_t begin = 0; begin < kv_.kv_len; begin += kTileSlots) {
      kernels_.pack_values(pack_args(base, begin, nullptr, tile));
      for (int64_t slot = begin; slot < std::min(kv_.kv_len, begin + kTileSlots); ++slot) {
        const bool is_old = slot < n_old_;
        if (!is_old && room_.joins[slot] == kStays) continue;
        float* const to = means + (is_old ? slot : room_.joins[slot]) * padded();
        const float* const row = tile + (slot - begin) * padded();
        const float weight = is_old ? weights_[size_t(slot)] : 1.0f;
        for (int64_t d = 0; d < kv_.head_dim; ++d) to[d] += weight * row[d];
      }
    }
    for (int64_t i = 0; i < n_merged_; ++i) kernels_.scale(means + i * padded(), 1.0f / room_.totals[i], kv_.head_dim);
  }

  // Behind the merged slots. Where there were none, the first singles move up; they go last to first, and reach no slot
  // that moves down.
  void move_singles(void* base) const {
    const auto from = [&](int64_t i) { return n_old_ + singles_[size_t(i)]; };
    const int64_t n = int64_t(singles_.size());
    int64_t n_up = 0;
    while (n_up < n && from(n_up) < n_merged_ + n_up) ++n_up;
    for (int64_t i = n_up - 1; i >= 0; --i)
      std::memmove(slot(base, n_merged_ + i), slot(base, from(i)), size_t(slot_bytes_));
    for (int64_t i = n_up; i < n; ++i)
      std::memmove(slot(base, n_merged_ + i), slot(base, from(i)), size_t(slot_bytes_));
  }

  void store_row(const float* row, void* base, int64_t i) const {
    if (kv_.type == KvView::Type::kF32) {
      std::memcpy(slot(base, i), row, size_t(slot_bytes_));
    } else {
      kernels_.to_f16(row, kv_.head_dim, reinterpret_cast<uint16_t*>(slot(base, i)));
    }
  }

  const CpuKernels& kernels_;
  ThreadPool& pool_;
  const KvView& kv_;
  const std::span<const int32_t> singles_;
  const std::span<float> weights_;
  const int64_t n_merged_, n_old_;  // merged slots; those there were before
  const int64_t slot_bytes_;
  float* const workers_;
  MergeRoom room_;
};

}  // namespace

int64_t merge_workspace_bytes(const OpLimits& limits, int n_threads) {
  const int64_t room = MergeRoom::floats(limits.max_kv_len / 2, limits.max_kv_len, limits.head_dim);
  return (n_threads * Scratch::floats(limits.head_dim) + room) * int64_t(sizeof(float));
}

void merge_kv(const CpuKernels& kernels, ThreadPool& pool, const KvView& kv, bool has_merged,
              std::span<const int32_t> singles, std::span<float> weights, std::span<float> bias,
              std::span<std::byte> workspace) {
  CHECK(kv.n_kv_heads == 1 && !weights.empty() && 2 * int64_t(weights.size()) <= kv.kv_len);
  Merge(kernels, pool, kv, has_merged, singles, weights, workspace).run(bias);
}

}  // namespace reform::cpu
