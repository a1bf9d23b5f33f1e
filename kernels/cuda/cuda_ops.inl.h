// The op list over the kernels: which kernel, on what grid, with what scratch. nvcc compiles it (cuda_ops.cu), and for
// the tests a plain C++ compiler does, with the kernels emulated (tests/kernels/cuda/).
#pragma once

#include <algorithm>

#include "base/try.h"
#include "kernels/cuda/argmax.cuh"
#include "kernels/cuda/attention_ops.inl.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/draw.cuh"
#include "kernels/cuda/matmul.inl.h"
#include "kernels/cuda/port.h"
#include "kernels/cuda/words.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

// Offsets of the workspace's parts.
struct Scratch {
  static constexpr int64_t kAlign = 256;
  static int64_t aligned(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }
  int64_t ids, narrow, panel, library, codes, steps, of_block, attention, bytes;

  explicit Scratch(const OpLimits& l) {
    int64_t used = 0;
    const auto take = [&](int64_t n) { return std::exchange(used, used + aligned(n)); };
    ids = take(4 * std::max(l.max_tokens, l.max_kv_len));  // embed() takes a whole call
    narrow = take(Matmul::narrow_bytes(l));  // kept after the op: the next product may be of the same activations
    panel = take(Matmul::panel_bytes(l));
    library = take(Matmul::kLibraryBytes);
    codes = take(CodeProducts::codes_bytes(l));
    steps = take(CodeProducts::steps_bytes(l));
    of_block = take(CodeProducts::of_block_bytes(l));
    attention = take(AttentionScratch(l).bytes);
    bytes = used;
  }
};

class CudaOps final : public Ops {
 public:
  CudaOps(const OpLimits& limits, Stream stream, std::span<std::byte> workspace, const CudaOptions& options = {})
      : scratch_(limits),
        stream_(stream),
        workspace_(workspace.data()),
        matmul_(limits, stream, options,
                {at<std::byte>(scratch_.narrow), at<std::byte>(scratch_.panel), at<std::byte>(scratch_.library),
                 at<std::byte>(scratch_.codes), at<std::byte>(scratch_.steps), at<std::byte>(scratch_.of_block)}),
        attention_(limits, stream, at<std::byte>(scratch_.attention), options.warpgroups) {
    CHECK(int64_t(workspace.size()) >= scratch_.bytes);
  }
  const char* name() const override { return "cuda"; }

  void embed(const Weight& table, HostSpan<const int32_t> ids, float scale, MatView<float> out) override {
    if (ids.empty()) return;
    matmul_.wrote(out);
    Ids few{};
    if (ids.size() <= size_t(kFewIds)) {
      std::copy(ids.begin(), ids.end(), few.few);
    } else {
      copy_to_device(stream_, at<int32_t>(scratch_.ids), ids);
      few.of_device = at<int32_t>(scratch_.ids);
    }
    with_format(table.type, [&](auto format) {
      launch(stream_, embed_kernel<decltype(format)>, {unsigned(ids.size())}, {kRowThreads}, 0, bytes_of(table), few,
             scale, rows_of(out));
    });
  }

  void rms_norm(MatView<const float> x, std::span<const float> weight, float eps, MatView<float> out) override {
    if (x.rows == 0) return;
    matmul_.wrote(out);
    // A norm in place is of heads or of a product's output, and no product takes these as they are.
    const Narrow copy = x.data == out.data ? Narrow{} : matmul_.copy_for(out);
    launch(stream_, rms_norm_kernel, {unsigned(x.rows)}, {kRowThreads}, 0, rows_of(x), weight.data(), eps, rows_of(out),
           copy);
  }

  void matmul(const Weight& w, MatView<const float> x, std::span<const float> bias, bool accumulate,
              MatView<float> y) override {
    matmul_.multiply(w, x, bias, accumulate, y);
  }

  void gated_activation(Activation act, MatView<float> gate, MatView<const float> up) override {
    if (gate.rows == 0) return;
    matmul_.wrote(gate);
    launch(stream_, gated_activation_kernel, over_matrix(gate), {kRowThreads}, 0, act, rows_of(gate), rows_of(up),
           matmul_.copy_for(gate));
  }

  void add(MatView<float> x, MatView<const float> y) override {
    if (x.rows == 0) return;
    matmul_.wrote(x);
    launch(stream_, add_kernel, over_matrix(x), {kRowThreads}, 0, rows_of(x), rows_of(y));
  }

  void rope(const Rope& rope, int64_t first_slot, int64_t head_dim, MatView<float> x) override {
    matmul_.wrote(x);
    attention_.rope(rope, first_slot, head_dim, x);
  }
  void store_kv(MatView<const float> k, MatView<const float> v, int64_t first_slot, const KvView& kv) override {
    wrote_cache(kv);
    attention_.store_kv(k, v, first_slot, kv);
  }
  void attention(const AttentionArgs& args, MatView<float> out, MatView<float> lse) override {
    CHECK(args.slot_bias.data == nullptr);
    matmul_.wrote(out);
    matmul_.wrote(lse);
    attention_.attention(args, out, lse, [&](MatView<const float> y) {
      const bool whole_pieces = y.rows > kMaxVectors && y.cols % kPieceElems == 0;
      return whole_pieces ? matmul_.copy_for(y) : Narrow{};
    });
  }
  void attention_column_sums(const AttentionArgs& args, MatView<const float> lse, HostSpan<const int32_t> query_rows,
                             HostSpan<const float> query_weights, std::span<float> column_sums) override {
    CHECK(args.slot_bias.data == nullptr);
    matmul_.wrote(column_sums.data(), int64_t(column_sums.size_bytes()));
    attention_.attention_column_sums(args, lse, query_rows, query_weights, column_sums);
  }
  void choose_slots(const KeptSlots& kept, int64_t kv_len, std::span<const float> scores,
                    std::span<int32_t> keep) override {
    matmul_.wrote(keep.data(), int64_t(keep.size_bytes()));
    attention_.choose_slots(kept, kv_len, scores, keep);
  }
  void compact_scores(std::span<float> scores, std::span<const int32_t> keep) override {
    matmul_.wrote(scores.data(), int64_t(scores.size_bytes()));
    attention_.compact_scores(scores, keep);
  }
  void compact_kv(const KvView& kv, std::span<const int32_t> keep) override {
    wrote_cache(kv);
    attention_.compact_kv(kv, keep);
  }

  // Not there (Device::has_every_op).
  void scale(std::span<float>, float) override { CHECK(false); }
  void choose_cascade(const Cascade&, int64_t, std::span<const float>, std::span<int32_t>) override { CHECK(false); }
  void merge_kv(const KvView&, bool, std::span<const int32_t>, std::span<float>, std::span<float>) override {
    CHECK(false);
  }

  void normalise_quantise(MatView<const float> x, std::span<const float> centre, MatView<int8_t> q,
                          MatView<float> scales) override {
    if (x.rows == 0) return;
    matmul_.wrote(q.data, (q.rows - 1) * q.stride_elems + q.cols);
    matmul_.wrote(scales);
    launch(stream_, normalise_quantise_kernel, {unsigned(x.rows)}, {kRowThreads}, 0, rows_of(x),
           centre.empty() ? nullptr : centre.data(), q.data, q.stride_elems, scales.data, scales.stride_elems);
  }

  void score(const EmbeddingRows& stored, const EmbeddingRows& query, std::span<float> scores) override {
    if (stored.n_rows == 0) return;
    matmul_.wrote(scores.data(), int64_t(scores.size_bytes()));
    constexpr unsigned kWarps = kRowThreads / 32;
    launch(stream_, score_kernel, {unsigned((stored.n_rows + kWarps - 1) / kWarps)}, {kRowThreads}, 0, stored, query,
           scores.data());
  }
  void best_cosines(const EmbeddingRows& stored, const EmbeddingRows& query, HostSpan<const int32_t> segment_ends,
                    std::span<float> best) override {
    if (query.n_rows == 0) return;
    matmul_.wrote(best.data(), int64_t(best.size_bytes()));
    const int64_t n_segments = int64_t(segment_ends.size()), segment_floats = stored.n_heads * query.n_rows;
    for (int64_t first = 0; first < n_segments; first += kPassedSegments) {
      const auto ends =
          segment_ends.subspan(size_t(first), size_t(std::min<int64_t>(kPassedSegments, n_segments - first)));
      Segments segments{int32_t(ends.size()), first == 0 ? 0 : segment_ends[size_t(first - 1)], {}};
      std::copy(ends.begin(), ends.end(), segments.end);
      const int64_t n_blocks = (segments.n * segment_floats + kRowThreads - 1) / kRowThreads;
      launch(stream_, best_cosines_kernel, {unsigned(n_blocks)}, {kRowThreads}, 0, stored, query, segments,
             best.data() + first * segment_floats);
    }
  }

  void forget() override {
    matmul_.forget();
    attention_.forget();
  }

  void argmax(std::span<const float> logits, int32_t* id) override {
    matmul_.wrote(id, int64_t(sizeof *id));
    launch(stream_, argmax_kernel, {1}, {kArgmaxThreads}, 0, logits.data(), int64_t(logits.size()), id);
  }
  void draw(std::span<const float> logits, const Draw& draw, int32_t* id) override {
    matmul_.wrote(id, int64_t(sizeof *id));
    launch(stream_, draw_kernel, {1}, {kSlotThreads}, 0, logits.data(), int(logits.size()), draw, id);
  }

 private:
  template <class T>
  T* at(int64_t offset) const {
    return reinterpret_cast<T*>(workspace_ + offset);
  }
  void wrote_cache(const KvView& kv) {
    const int64_t bytes = kv.n_kv_heads * kv.capacity * kv.head_dim * elem_bytes(kv.type);
    matmul_.wrote(kv.k, bytes);
    matmul_.wrote(kv.v, bytes);
  }

  const Scratch scratch_;
  const Stream stream_;
  std::byte* const workspace_;
  Matmul matmul_;
  AttentionOps attention_;
};

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
