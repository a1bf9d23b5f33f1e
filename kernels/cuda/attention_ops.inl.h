// Attention, its column sums, RoPE and the cache, as launches: which kernel, on what grid, with what scratch.
#pragma once

#include <algorithm>

#include "base/try.h"
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/attention_warpgroup.cuh"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/column_sums_warpgroup.cuh"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/kv.cuh"
#include "kernels/cuda/port.h"
#include "kernels/cuda/slots.cuh"
#include "kernels/cuda/words.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

// Offsets of the parts of attention's scratch. No other op writes to it, so keys that attention made stay there while
// other ops run.
struct AttentionScratch {
  static constexpr int64_t kAlign = 256;
  static int64_t width(int64_t head_dim) { return (head_dim + 7) / 8 * 8; }
  static int64_t observers(int64_t n) {
    return std::min<int64_t>(kObserverBatch, (n + kObserverTile - 1) / kObserverTile * kObserverTile);
  }

  int64_t small, keys, values, shared, shared_bytes, info, of_head, bytes;

  explicit AttentionScratch(const OpLimits& l) {
    int64_t used = 0;
    const auto take = [&](int64_t n) { return std::exchange(used, used + (n + kAlign - 1) / kAlign * kAlign); };
    small = take(8 * std::max(l.max_tokens, l.max_kv_len));  // indices and weights of one op
    keys = take(2 * l.n_kv_heads * l.max_kv_len * width(l.head_dim));
    values = take(2 * l.n_kv_heads * l.max_kv_len * width(l.head_dim));
    // The splits' results or the observers' queries: one op uses it at a time.
    const int64_t observer_bytes = 2 * l.n_heads * observers(l.max_kv_len) * width(l.head_dim);
    shared_bytes = std::max(4 * kSplitRows * l.n_heads * (l.head_dim + 2), observer_bytes);
    shared = take(shared_bytes);
    info = take(int64_t(sizeof(Observer)) * l.n_heads * observers(l.max_kv_len));
    of_head = take(4 * l.n_heads * l.max_kv_len);
    bytes = used;
  }

  static constexpr int64_t kSplitRows = 1024;  // the most rows of a call times splits of its keys
};

template <int kDim, int kM, int kWarps>
void launch_attention(Stream stream, Tiles<kDim, kM, kWarps>, Dim grid, const AttentionShape& s,
                      const AttentionOut& to) {
  using T = Tiles<kDim, kM, kWarps>;
  launch(stream, attention_kernel<T>, grid, {T::kThreads}, T::kBytes, s, to);
}

template <int kDim>
void launch_column_sums(Stream stream, ColumnTiles<kDim>, Dim grid, const AttentionShape& s, const Observers& o,
                        bool is_first, float* of_head) {
  using T = ColumnTiles<kDim>;
  launch(stream, column_sums_kernel<T>, grid, {T::kThreads}, T::kBytes, s, o, is_first, of_head);
}

class AttentionOps {
 public:
  // workspace: 256-byte aligned, AttentionScratch(limits).bytes.
  AttentionOps(const OpLimits& limits, Stream stream, std::byte* workspace, bool warpgroups)
      : scratch_(limits), stream_(stream), workspace_(workspace), warpgroups_(warpgroups) {}

  void rope(const Rope& rope, int64_t first_slot, int64_t head_dim, MatView<float> x) {
    if (x.rows == 0 || rope.inv_freq.empty()) return;
    const int64_t n_heads = x.cols / head_dim;
    const Dim grid{unsigned(x.rows), unsigned((n_heads + kRopeHeads - 1) / kRopeHeads)};
    launch(stream_, rope_kernel, grid, {kRopeThreads}, 0, x.data, x.stride_elems, int(n_heads), int(head_dim),
           turns_of(&rope), first_slot);
  }

  void store_kv(MatView<const float> k, MatView<const float> v, int64_t first_slot, const KvView& kv) {
    if (k.rows == 0) return;
    launch(stream_, store_kv_kernel, {unsigned(k.rows)}, {kRowThreads}, 0, rows_of(k), rows_of(v), first_slot, kv);
  }

  void choose_slots(const KeptSlots& kept, int64_t kv_len, std::span<const float> scores, std::span<int32_t> keep) {
    CHECK((int64_t(keep.size()) == kept.total() && kept.total() <= kv_len && kv_len < INT32_MAX / 2));
    CHECK((kept.heaviest == 0 || int64_t(scores.size()) == kv_len));
    launch(stream_, choose_slots_kernel, {1}, {kSlotThreads}, 0, scores.data(), int(kv_len), int(kept.first),
           int(kept.heaviest), int(kept.last), keep.data());
  }

  void compact_kv(const KvView& kv, std::span<const int32_t> keep) {
    const int64_t slot_bytes = kv.head_dim * elem_bytes(kv.type);
    if (slot_bytes % 16 == 0 && is_aligned(kv.k) && is_aligned(kv.v)) {
      move_slots<Piece16>({{kv.k, kv.v}, kv.n_kv_heads, kv.capacity, slot_bytes / 16}, keep);
    } else {
      move_slots<uint16_t>({{kv.k, kv.v}, kv.n_kv_heads, kv.capacity, slot_bytes / 2}, keep);
    }
  }
  void compact_scores(std::span<float> scores, std::span<const int32_t> keep) {
    move_slots<float>({{scores.data(), nullptr}, 1, int64_t(scores.size()), 1}, keep);
    const int64_t n_left = int64_t(scores.size() - keep.size());
    if (n_left > 0) launch(stream_, zero_kernel, over(n_left), {kRowThreads}, 0, scores.data() + keep.size(), n_left);
  }

  // copy_for(out) says where to put a narrow copy of the result. Attention calls it only when its kernel can write one.
  template <class CopyFor>
  void attention(const AttentionArgs& args, MatView<float> out, MatView<float> lse, CopyFor copy_for) {
    if (args.q.rows == 0) return;
    const AttentionShape shape = shape_of(args);
    with_dim(args.kv.head_dim, [&](auto dim) {
      constexpr int kDim = dim.value;
      if (shape.q.rows * shape.group <= kFewRows) {
        attend<Tiles<kDim, 1, 1>>(shape, kFewRowsBlocks, true, out, lse, copy_for);
      } else if (warpgroups_ && has_panels(kDim)) {
        attend<WarpgroupTiles<rounded(kDim)>>(shape, kManyRowsBlocks, shape.q.rows == 1, out, lse, copy_for);
      } else {
        attend<Tiles<kDim, kDim <= 128 ? 2 : 1, 4>>(shape, kManyRowsBlocks, shape.q.rows == 1, out, lse, copy_for);
      }
    });
  }

  void attention_column_sums(const AttentionArgs& args, MatView<const float> lse, std::span<const int32_t> query_rows,
                             std::span<const float> query_weights, std::span<float> column_sums) {
    const int64_t n = int64_t(query_rows.size()), kv_len = args.kv.kv_len;
    if (n == 0 || kv_len == 0) return;
    const AttentionShape shape = shape_of(args);
    const int32_t* rows = copied(query_rows, 0);
    const float* weights = copied(query_weights, n);
    float* of_head = at<float>(scratch_.of_head);
    for (int64_t first = 0; first < n; first += kObserverBatch) {
      Observers o{at<uint16_t>(scratch_.shared), at<Observer>(scratch_.info), 0, 0, 0};
      o.n = int(std::min<int64_t>(kObserverBatch, n - first)), o.n_padded = int(AttentionScratch::observers(o.n));
      o.width = int(AttentionScratch::width(shape.head_dim));
      launch(stream_, gather_observers_kernel, {unsigned(o.n_padded), unsigned(shape.n_heads)}, {kGatherThreads}, 0,
             shape, rows_of(lse), rows + first, weights + first, o);
      with_dim(args.kv.head_dim, [&](auto dim) {
        constexpr int kDim = dim.value;
        if (warpgroups_ && has_panels(kDim)) {
          add_observers<WarpgroupColumnTiles<rounded(kDim)>>(shape, o, first == 0, of_head);
        } else {
          add_observers<ColumnTiles<kDim>>(shape, o, first == 0, of_head);
        }
      });
    }
    launch(stream_, add_heads_kernel, over(kv_len), {kRowThreads}, 0, static_cast<const float*>(of_head),
           int64_t(shape.n_heads), kv_len, column_sums.data());
  }

  void forget() { kept_of_ = nullptr; }

 private:
  // kFewRows: query rows of one KV head that one warp takes on. The others: the fewest blocks of a call, several per
  // multiprocessor of a large chip. They are the same for every chip, so that results are the same on all.
  static constexpr int64_t kFewRows = 32, kFewRowsBlocks = kOnChip ? 512 : 16, kManyRowsBlocks = kOnChip ? 256 : 3;

  template <class T>
  T* at(int64_t offset) const {
    return reinterpret_cast<T*>(workspace_ + offset);
  }
  static Dim over(int64_t n) { return {unsigned((n + kRowThreads - 1) / kRowThreads)}; }
  static bool is_aligned(const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; }

  // Copies the values to the scratch for small things, from word `offset` on.
  template <class T>
  const T* copied(std::span<const T> values, int64_t offset) {
    T* to = at<T>(scratch_.small) + offset;
    copy_to_device(stream_, to, values);
    return to;
  }

  template <class Piece>
  void move_slots(const Slots& slots, std::span<const int32_t> keep) {
    kept_of_ = nullptr;  // the staging buffer overwrites the kept keys
    const int64_t n_sides = slots.sides[1] == nullptr ? 1 : 2;
    const int64_t n_staged =
        (scratch_.shared - scratch_.keys) / (n_sides * slots.n_heads * slots.pieces * int64_t(sizeof(Piece)));
    CHECK(n_staged > 0);
    for (int64_t first = 0; first < int64_t(keep.size()); first += n_staged) {
      const int64_t n = std::min(n_staged, int64_t(keep.size()) - first);
      Dim grid = over(n * slots.pieces);
      grid.y = unsigned(slots.n_heads), grid.z = unsigned(n_sides);
      const SlotRun<Piece> run{slots, keep.data() + first, first, n, at<Piece>(scratch_.keys)};
      launch(stream_, gather_slots_kernel<Piece>, grid, {kRowThreads}, 0, run);
      launch(stream_, place_slots_kernel<Piece>, grid, {kRowThreads}, 0, run);
    }
  }

  // Warpgroups multiply whole panels. Rounding head sizes of 80 or 96 up to 128 would cost more than warpgroups gain.
  static constexpr bool has_panels(int head_dim) { return head_dim == rounded(head_dim); }
  static constexpr int rounded(int head_dim) { return head_dim <= 64 ? 64 : head_dim <= 128 ? 128 : 256; }

  // Calls fn with the smallest tile size that holds head_dim (at most 256), as a type.
  template <class Fn>
  static void with_dim(int64_t head_dim, Fn fn) {
    CHECK(head_dim <= kMaxCudaHeadDim);
    if (head_dim <= 64) return fn(std::integral_constant<int, 64>{});
    if (head_dim <= 80) return fn(std::integral_constant<int, 80>{});
    if (head_dim <= 96) return fn(std::integral_constant<int, 96>{});
    if (head_dim <= 128) return fn(std::integral_constant<int, 128>{});
    return fn(std::integral_constant<int, 256>{});
  }

  AttentionShape shape_of(const AttentionArgs& a) {
    CHECK(a.kv.kv_len < INT32_MAX / 2);
    const int64_t n_heads = a.q.cols / a.kv.head_dim, kv_len = a.kv.kv_len;
    const bool is_windowed = a.window > 0 && a.window < kv_len;
    AttentionShape s{rows_of(a.q),
                     {},
                     {},
                     int(a.kv.head_dim),
                     int(n_heads),
                     int(a.kv.n_kv_heads),
                     int(n_heads / a.kv.n_kv_heads),
                     int(kv_len),
                     int(is_windowed ? a.window : kv_len),
                     a.scale * kLog2E};
    prepare(a, s);
    return s;
  }

  // Sets s.k and s.v: the cache itself where attention can read it, else F16 copies. Rotated keys, F32 caches and
  // unaligned rows need copies.
  void prepare(const AttentionArgs& a, AttentionShape& s) {
    const KvView& kv = a.kv;
    const bool as_is = kv.type == KvView::Type::kF16 && kv.head_dim % 8 == 0;
    const bool copies_keys = !as_is || !is_aligned(kv.k) || (a.key_rope != nullptr && !a.key_rope->inv_freq.empty());
    const bool copies_values = !as_is || !is_aligned(kv.v);
    const int64_t first = kept_of_ == kv.k ? std::min({a.known_slots, kept_slots_, kv.kv_len}) : 0;
    s.k = copies_keys ? half_rows(kv, kv.k, first, a.key_rope, scratch_.keys) : as_they_are(kv, kv.k);
    s.v = copies_values ? half_rows(kv, kv.v, first, nullptr, scratch_.values) : as_they_are(kv, kv.v);
    kept_of_ = copies_keys ? kv.k : nullptr, kept_slots_ = kv.kv_len;
  }
  static HalfRows as_they_are(const KvView& kv, const void* data) {
    return {static_cast<const uint16_t*>(data), kv.capacity * kv.head_dim, kv.head_dim};
  }
  // Makes the slots from `first` on; the earlier ones are still there.
  HalfRows half_rows(const KvView& kv, const void* from, int64_t first, const Rope* rope, int64_t part) {
    const int64_t width = AttentionScratch::width(kv.head_dim), n = kv.kv_len - first;
    const int64_t head_stride = (scratch_.values - scratch_.keys) / 2 / kv.n_kv_heads / 8 * 8;
    CHECK(head_stride >= kv.kv_len * width);
    const HalfRows rows{at<uint16_t>(part), head_stride, width};
    if (n == 0) return rows;
    const Turns turns = turns_of(rope);
    const auto make = [&](const auto* typed) {
      launch(stream_, half_rows_kernel<std::remove_cvref_t<decltype(*typed)>>, over(n * (width - turns.n_pairs)),
             {kRowThreads}, 0, typed, kv, first, n, turns, at<uint16_t>(part), head_stride, int(width));
    };
    if (kv.type == KvView::Type::kF32)
      make(static_cast<const float*>(from));
    else
      make(static_cast<const uint16_t*>(from));
    return rows;
  }

  template <class T>
  void add_observers(const AttentionShape& s, const Observers& o, bool is_first, float* of_head) {
    const Dim grid{unsigned((s.kv_len + T::kKeys - 1) / T::kKeys), unsigned(s.n_heads)};
    launch_column_sums(stream_, T{}, grid, s, o, is_first, of_head);
  }

  // `joined`: runs the joining kernel even for one split, so that a step of one token always has the same kernels.
  template <class T, class CopyFor>
  void attend(const AttentionShape& s, int64_t n_blocks, bool joined, MatView<float> out, MatView<float> lse,
              CopyFor copy_for) {
    const int64_t n_tiles = (s.q.rows * s.group + T::kRows - 1) / T::kRows;
    const int64_t split_bytes = 4 * s.q.rows * s.n_heads * (s.head_dim + 2);
    const int64_t most = std::min(
        {int64_t(kMaxSplits), scratch_.shared_bytes / split_bytes, int64_t((s.kv_len + T::kKeys - 1) / T::kKeys)});
    const int64_t n_splits = std::clamp<int64_t>(n_blocks / (n_tiles * s.n_kv_heads), 1, std::max<int64_t>(most, 1));
    joined = joined || n_splits > 1;
    float* partial = joined ? at<float>(scratch_.shared) : nullptr;
    launch_attention(stream_, T{}, {unsigned(n_tiles * s.n_kv_heads), unsigned(n_splits)}, s,
                     AttentionOut{rows_of(out), rows_of(lse), partial, joined ? Narrow{} : copy_for(out)});
    if (!joined) return;
    launch(stream_, join_splits_kernel, {unsigned(s.q.rows * s.n_heads)}, {kJoinThreads}, 0,
           static_cast<const float*>(partial), int(n_splits), s.n_heads, s.head_dim, rows_of(out), rows_of(lse));
  }

  const AttentionScratch scratch_;
  const Stream stream_;
  std::byte* const workspace_;
  const bool warpgroups_;
  const void* kept_of_ = nullptr;  // the cache keys whose first kept_slots_ slots lie in scratch as HalfRows
  int64_t kept_slots_ = 0;
};

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
