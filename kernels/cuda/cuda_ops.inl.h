// The op list over the kernels: which kernel, on what grid, with what scratch. Compiled by nvcc (cuda_ops.cu) and, for
// the tests, by a plain C++ compiler with the kernels emulated (tests/kernels/cuda/).
#pragma once

#include <algorithm>

#include "base/try.h"
#include "kernels/cuda/argmax.cuh"
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/matmul.inl.h"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

// Where the workspace's parts lie. A part is for one op at a time.
struct Scratch {
  static constexpr int64_t kAlign = 256;
  static int64_t aligned(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }
  int64_t small, narrow, panel, library, cos, sin, of_head, bytes;

  explicit Scratch(const OpLimits& l) {
    int64_t used = 0;
    const auto take = [&](int64_t n) { return std::exchange(used, used + aligned(n)); };
    // Indices and weights of one op, or a rope's frequencies.
    small = take(8 * std::max({l.max_tokens, l.max_kv_len, l.head_dim}));
    const int64_t shared = used;  // a product's parts and attention's take turns
    narrow = take(Matmul::narrow_bytes(l));
    panel = take(Matmul::panel_bytes(l));
    library = take(Matmul::kLibraryBytes);
    const int64_t of_products = std::exchange(used, shared);
    const int64_t table = 4 * std::max(l.max_kv_len, l.max_tokens) * ((l.head_dim + 1) / 2);
    cos = take(table), sin = take(table);
    of_head = take(4 * l.n_heads * l.max_kv_len);
    bytes = std::max(used, of_products);
  }
};

class CudaOps final : public Ops {
 public:
  CudaOps(const OpLimits& limits, Stream stream, std::span<std::byte> workspace, const CudaOptions& options = {})
      : scratch_(limits),
        stream_(stream),
        workspace_(workspace.data()),
        matmul_(stream, options,
                {at<std::byte>(scratch_.narrow), at<std::byte>(scratch_.panel), at<std::byte>(scratch_.library)}) {
    CHECK(int64_t(workspace.size()) >= scratch_.bytes);
  }
  const char* name() const override { return "cuda"; }

  void embed(const Weight& table, std::span<const int32_t> ids, float scale, MatView<float> out) override {
    if (ids.empty()) return;
    const int32_t* of_device = copied(ids, 0);
    with_format(table.type, [&](auto format) {
      launch(stream_, embed_kernel<decltype(format)>, {unsigned(ids.size())}, {kRowThreads}, 0, bytes_of(table),
             of_device, scale, rows_of(out));
    });
  }

  void rms_norm(MatView<const float> x, std::span<const float> weight, float eps, MatView<float> out) override {
    if (x.rows == 0) return;
    launch(stream_, rms_norm_kernel, {unsigned(x.rows)}, {kRowThreads}, 0, rows_of(x), weight.data(), eps,
           rows_of(out));
  }

  void matmul(const Weight& w, MatView<const float> x, std::span<const float> bias, bool accumulate,
              MatView<float> y) override {
    matmul_.multiply(w, x, bias, accumulate, y);
  }

  void gated_activation(Activation act, MatView<float> gate, MatView<const float> up) override {
    if (gate.rows == 0) return;
    launch(stream_, gated_activation_kernel, over(gate.cols, gate.rows), {kRowThreads}, 0, act, rows_of(gate),
           rows_of(up));
  }

  void add(MatView<float> x, MatView<const float> y) override {
    if (x.rows == 0) return;
    launch(stream_, add_kernel, over(x.cols, x.rows), {kRowThreads}, 0, rows_of(x), rows_of(y));
  }

  void rope(const Rope& rope, int64_t first_slot, int64_t head_dim, MatView<float> x) override {
    const int n_pairs = int(rope.inv_freq.size());
    if (x.rows == 0 || n_pairs == 0) return;
    fill_table(rope, first_slot, x.rows);
    launch(stream_, rope_kernel, {unsigned(x.rows), unsigned(x.cols / head_dim)}, {64}, 0, rows_of(x), int(head_dim),
           n_pairs, rope.pairing == Rope::Pairing::kHalves, cos(), sin());
  }

  void store_kv(MatView<const float> k, MatView<const float> v, int64_t first_slot, const KvView& kv) override {
    if (k.rows == 0) return;
    launch(stream_, store_kv_kernel, {unsigned(k.rows), unsigned(kv.n_kv_heads)}, {64}, 0, rows_of(k), rows_of(v),
           first_slot, kv);
  }

  void attention(const AttentionArgs& args, MatView<float> out, MatView<float> lse) override {
    if (args.q.rows == 0) return;
    const AttentionShape shape = shape_of(args);
    with_tiles(args.kv.head_dim, [&](auto tiles) {
      using T = decltype(tiles);
      const Dim grid{unsigned((args.q.rows + kQueryTile - 1) / kQueryTile), unsigned(shape.n_heads)};
      launch(stream_, attention_kernel<T>, grid, {kAttentionThreads}, T::kQBytes + T::kKBytes + T::kVBytes, shape,
             rows_of(out), rows_of(lse));
    });
  }

  void attention_column_sums(const AttentionArgs& args, MatView<const float> lse, std::span<const int32_t> query_rows,
                             std::span<const float> query_weights, std::span<float> column_sums) override {
    if (query_rows.empty() || args.kv.kv_len == 0) return;
    const AttentionShape shape = shape_of(args);
    const int32_t* rows = copied(query_rows, 0);
    const float* weights = copied(query_weights, int64_t(query_rows.size()));
    with_tiles(args.kv.head_dim, [&](auto tiles) {
      using T = decltype(tiles);
      const Dim grid{unsigned((args.kv.kv_len + T::kKeys - 1) / T::kKeys), unsigned(shape.n_heads)};
      launch(stream_, column_sums_kernel<T>, grid, {kAttentionThreads},
             T::kQBytes + T::kKBytes + kAttentionWarps * T::kKeys * 4, shape, rows_of(lse), rows, weights,
             int64_t(query_rows.size()), at<float>(scratch_.of_head));
    });
    launch(stream_, add_heads_kernel, over(args.kv.kv_len, 1), {kRowThreads}, 0,
           static_cast<const float*>(at<float>(scratch_.of_head)), shape.n_heads, args.kv.kv_len, column_sums.data());
  }

  void compact_kv(const KvView& kv, std::span<const int32_t> keep) override {
    if (keep.empty()) return;
    const int32_t* of_device = copied(keep, 0);
    const Dim grid{unsigned(kv.n_kv_heads), 2};
    if (kv.type == KvView::Type::kF32) {
      launch(stream_, compact_kv_kernel<float>, grid, {kRowThreads}, 0, kv, of_device, int64_t(keep.size()));
    } else {
      launch(stream_, compact_kv_kernel<uint16_t>, grid, {kRowThreads}, 0, kv, of_device, int64_t(keep.size()));
    }
  }

  void normalise_quantise(MatView<const float> x, std::span<const float> centre, int8_t* q_out, int64_t q_stride,
                          float* scales_out, int64_t scale_stride) override {
    if (x.rows == 0) return;
    launch(stream_, normalise_quantise_kernel, {unsigned(x.rows)}, {kRowThreads}, 0, rows_of(x),
           centre.empty() ? nullptr : centre.data(), q_out, q_stride, scales_out, scale_stride);
  }

  void score(const EmbeddingRows& stored, const EmbeddingRows& query, std::span<float> scores) override {
    if (stored.n_rows == 0) return;
    constexpr unsigned kWarps = kRowThreads / 32;
    launch(stream_, score_kernel, {unsigned((stored.n_rows + kWarps - 1) / kWarps)}, {kRowThreads}, 0, stored, query,
           scores.data());
  }

  void argmax(std::span<const float> logits, int32_t* id) override {
    launch(stream_, argmax_kernel, {1}, {kArgmaxThreads}, 0, logits.data(), int64_t(logits.size()), id);
  }

 private:
  template <class T>
  T* at(int64_t offset) const {
    return reinterpret_cast<T*>(workspace_ + offset);
  }
  float* cos() const { return at<float>(scratch_.cos); }
  float* sin() const { return at<float>(scratch_.sin); }

  // Into the scratch for small things, from its word `offset` on.
  template <class T>
  const T* copied(std::span<const T> values, int64_t offset) {
    T* to = at<T>(scratch_.small) + offset;
    copy_to_device(stream_, to, values.data(), int64_t(values.size_bytes()));
    return to;
  }

  void fill_table(const Rope& rope, int64_t first_slot, int64_t n_slots) {
    const int n_pairs = int(rope.inv_freq.size());
    const float* inv_freq = copied(rope.inv_freq, 0);
    launch(stream_, rope_table_kernel, over(n_slots * n_pairs, 1), {kRowThreads}, 0, inv_freq, n_pairs, first_slot,
           n_slots, rope.magnitude, cos(), sin());
  }

  AttentionShape shape_of(const AttentionArgs& a) {
    CHECK(a.kv.head_dim <= 256);
    AttentionShape s{rows_of(a.q), a.kv, a.q.cols / a.kv.head_dim, a.window, a.scale, cos(), sin(), 0, true};
    if (a.key_rope == nullptr || a.key_rope->inv_freq.empty()) return s;
    fill_table(*a.key_rope, 0, a.kv.kv_len);
    s.n_pairs = int(a.key_rope->inv_freq.size());
    s.halves = a.key_rope->pairing == Rope::Pairing::kHalves;
    return s;
  }

  const Scratch scratch_;
  const Stream stream_;
  std::byte* const workspace_;
  Matmul matmul_;
};

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
