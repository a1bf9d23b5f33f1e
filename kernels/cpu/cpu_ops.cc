// The ops on CPU threads: rows are divided among the pool's threads, which call the instruction set's kernels.
#include "kernels/cpu/cpu_ops.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/try.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/attention_call.h"
#include "kernels/cpu/matmul.h"
#include "kernels/cpu/matrix_kernels.h"
#include "kernels/cpu/merge.h"
#include "kernels/cpu/slots.h"

namespace reform {
namespace cpu {

const CpuKernels& kernels_for(Isa isa) {
#if defined(__x86_64__)
  static const CpuKernels amx = [] {
    CpuKernels kernels = kernels_avx512();
    kernels.matrix = &kMatrixAmx;
    return kernels;
  }();
  if (isa == Isa::kAmx) return amx;
  if (isa == Isa::kAvx512) return kernels_avx512();
  if (isa == Isa::kAvx2) return kernels_avx2();
#endif
  return kernels_portable();
}

namespace {

// A task of row-wise work takes some tens of microseconds, so that handing it out costs little beside it.
constexpr int64_t kTaskElems = 32 * 1024;
constexpr int64_t kScoreTaskRows = 1024;
constexpr int64_t kPackedQueryBytes = int64_t(1) << 20;  // of packed queries: a query takes 16 bytes a dimension

class CpuOps final : public Ops {
 public:
  CpuOps(Isa isa, const OpLimits& limits, ThreadPool& pool, std::span<std::byte> workspace)
      : isa_(isa),
        kernels_(kernels_for(isa)),
        pool_(pool),
        workspace_(workspace),
        ropes_(limits.head_dim / 2),
        attention_(kernels_, limits, pool, ropes_) {}

  const char* name() const override { return reform::name(isa_); }

  void embed(const Weight& table, HostSpan<const int32_t> ids, float scale, MatView<float> out) override {
    const int64_t bytes = row_bytes(table.type, table.cols);
    for_rows(int64_t(ids.size()), table.cols, [&](int64_t t) {
      const std::byte* row = static_cast<const std::byte*>(table.data) + ids[size_t(t)] * bytes;
      dequantise(table.type, row, table.cols, out.row(t));
      if (scale != 1.0f) kernels_.scale(out.row(t), scale, table.cols);
    });
  }

  void rms_norm(MatView<const float> x, std::span<const float> weight, float eps, MatView<float> out) override {
    for_rows(x.rows, x.cols, [&](int64_t r) { kernels_.rms_norm(x.row(r), weight.data(), x.cols, eps, out.row(r)); });
  }

  void matmul(const Weight& w, MatView<const float> x, std::span<const float> bias, bool accumulate,
              MatView<float> y) override {
    cpu::matmul(isa_, w, x, bias, accumulate, y, pool_, workspace_);
  }

  void gated_activation(Activation act, MatView<float> gate, MatView<const float> up) override {
    const auto kernel = act == Activation::kSilu ? kernels_.silu_gate : kernels_.gelu_gate;
    for_rows(gate.rows, gate.cols, [&](int64_t t) { kernel(gate.row(t), up.row(t), gate.cols); });
  }

  void add(MatView<float> x, MatView<const float> y) override {
    for_rows(x.rows, x.cols, [&](int64_t t) { kernels_.add(x.row(t), y.row(t), x.cols); });
  }

  void rope(const Rope& rope, int64_t first_slot, int64_t head_dim, MatView<float> x) override {
    const int64_t n_pairs = int64_t(rope.inv_freq.size());
    const int64_t run = x.rows < RopeTable::kRun ? 1 : RopeTable::kRun;  // short calls: a sine per pair and row
    if (run > 1) ropes_.prepare(rope);
    float* const tables = reinterpret_cast<float*>(workspace_.data());
    run_tasks(pool_, ceil_div(x.rows, run), [&](int64_t task, int worker) {
      float* const cos = tables + worker * rope_table_floats(n_pairs);
      float* const sin = cos + RopeTable::kRun * n_pairs;
      const int64_t begin = task * run, end = std::min(x.rows, begin + run);
      ropes_.fill(rope, first_slot + begin, end - begin, cos, sin);
      for (int64_t t = begin; t < end; ++t) {
        const int64_t at = (t - begin) * n_pairs;
        for (int64_t c = 0; c < x.cols; c += head_dim) {
          kernels_.rotate(x.row(t) + c, cos + at, sin + at, n_pairs, rope.pairing == Rope::Pairing::kHalves);
        }
      }
    });
  }

  void store_kv(MatView<const float> k, MatView<const float> v, int64_t first_slot, const KvView& kv) override {
    for_rows(k.rows, k.cols, [&](int64_t t) {
      for (int64_t h = 0; h < kv.n_kv_heads; ++h) {
        const int64_t to = (h * kv.capacity + first_slot + t) * kv.head_dim;
        store_head(kv, k.row(t) + h * kv.head_dim, kv.k, to);
        store_head(kv, v.row(t) + h * kv.head_dim, kv.v, to);
      }
    });
  }

  void attention(const AttentionArgs& args, MatView<float> out, MatView<float> lse) override {
    attention_.attention(args, out, lse, workspace_);
  }

  void attention_column_sums(const AttentionArgs& args, MatView<const float> lse, HostSpan<const int32_t> query_rows,
                             HostSpan<const float> query_weights, std::span<float> column_sums) override {
    attention_.column_sums(args, lse, query_rows, query_weights, column_sums, workspace_);
  }

  void choose_slots(const KeptSlots& kept, int64_t kv_len, std::span<const float> scores,
                    std::span<int32_t> keep) override {
    cpu::choose_slots(kept, kv_len, scores, keep);
  }
  void choose_cascade(const Cascade& cascade, int64_t kv_len, std::span<const float> scores,
                      std::span<int32_t> keep) override {
    cpu::choose_cascade(cascade, kv_len, scores, keep);
  }
  void scale(std::span<float> x, float factor) override { kernels_.scale(x.data(), factor, int64_t(x.size())); }
  void merge_kv(const KvView& kv, bool has_merged, std::span<const int32_t> singles, std::span<float> weights,
                std::span<float> bias) override {
    cpu::merge_kv(kernels_, pool_, kv, has_merged, singles, weights, bias, workspace_);
  }
  void compact_scores(std::span<float> scores, std::span<const int32_t> keep) override {
    cpu::compact_scores(scores, keep);
  }

  void compact_kv(const KvView& kv, std::span<const int32_t> keep) override {
    const int64_t slot_bytes = kv.head_dim * elem_bytes(kv.type);
    run_tasks(pool_, 2 * kv.n_kv_heads, [&](int64_t task, int) {
      char* const slots = static_cast<char*>(task % 2 == 0 ? kv.k : kv.v) + task / 2 * kv.capacity * slot_bytes;
      for (size_t to = 0; to < keep.size();) {
        size_t end = to + 1;  // neighbours move together
        while (end < keep.size() && keep[end] == keep[end - 1] + 1) ++end;
        if (keep[to] != int64_t(to)) {
          std::memmove(slots + int64_t(to) * slot_bytes, slots + keep[to] * slot_bytes,
                       (end - to) * size_t(slot_bytes));
        }
        to = end;
      }
    });
  }

  void normalise_quantise(MatView<const float> x, std::span<const float> centre, MatView<int8_t> q,
                          MatView<float> scales) override {
    for_rows(x.rows, x.cols, [&](int64_t t) {
      const float* minus = centre.empty() ? nullptr : centre.data();
      *scales.row(t) = kernels_.normalise_quantise(x.row(t), minus, x.cols, q.row(t));
    });
  }

  void score(const EmbeddingRows& stored, const EmbeddingRows& query, std::span<float> scores) override;
  void best_cosines(const EmbeddingRows& stored, const EmbeddingRows& query, HostSpan<const int32_t> segment_ends,
                    std::span<float> best) override;

  static int64_t workspace_bytes(Isa isa, const OpLimits& limits, int n_threads) {
    const int64_t ropes = n_threads * rope_table_floats(limits.head_dim / 2) * int64_t(sizeof(float));
    return std::max({matmul_workspace_bytes(isa, limits.max_tokens, limits.max_cols, n_threads),
                     Attention::workspace_bytes(limits, n_threads), merge_workspace_bytes(limits, n_threads), ropes,
                     kPackedQueryBytes});
  }

 private:
  static int64_t rope_table_floats(int64_t n_pairs) { return round_up(2 * RopeTable::kRun * n_pairs, 16); }

  // fn(row) for every row, on threads when there is enough work.
  template <class Fn>
  void for_rows(int64_t n_rows, int64_t cols, Fn fn) {
    const int64_t per_task = std::max<int64_t>(1, kTaskElems / std::max<int64_t>(cols, 1));
    run_tasks(pool_, ceil_div(n_rows, per_task), [&](int64_t task, int) {
      const int64_t end = std::min(n_rows, (task + 1) * per_task);
      for (int64_t r = task * per_task; r < end; ++r) fn(r);
    });
  }

  // Packs as many queries at a time as the workspace has room for, and calls fn(first, n_query) for each such pass.
  template <class Fn>
  void for_query_passes(const EmbeddingRows& query, Fn fn) {
    const auto bytes = [&](int64_t n) { return kernels_.packed_query_bytes(n, query.n_heads, query.head_dim); };
    int64_t per_pass = query.n_rows;
    while (per_pass > 1 && bytes(per_pass) > int64_t(workspace_.size())) per_pass = ceil_div(per_pass, 2);
    CHECK(bytes(per_pass) <= int64_t(workspace_.size()));
    for (int64_t first = 0; first < query.n_rows; first += per_pass) {
      const int64_t n_query = std::min(per_pass, query.n_rows - first), at = first * query.n_heads;
      kernels_.pack_queries(query.values + at * query.head_dim, query.scales + at, n_query, query.n_heads,
                            query.head_dim, workspace_.data());
      fn(first, n_query);
    }
  }

  // Stored rows [begin, end) and the packed queries.
  ScoreArgs score_args(const EmbeddingRows& stored, int64_t begin, int64_t end, int64_t n_query) const {
    const int64_t at = begin * stored.n_heads;
    return {stored.values + at * stored.head_dim,
            stored.scales + at,
            end - begin,
            stored.n_heads,
            stored.head_dim,
            workspace_.data(),
            n_query};
  }

  void store_head(const KvView& kv, const float* x, void* base, int64_t to) const {
    if (kv.type == KvView::Type::kF32) {
      std::memcpy(static_cast<float*>(base) + to, x, size_t(kv.head_dim) * sizeof(float));
    } else {
      kernels_.to_f16(x, kv.head_dim, static_cast<uint16_t*>(base) + to);
    }
  }

  const Isa isa_;
  const CpuKernels& kernels_;
  ThreadPool& pool_;
  const std::span<std::byte> workspace_;
  RopeTable ropes_;
  Attention attention_;
};

void CpuOps::score(const EmbeddingRows& stored, const EmbeddingRows& query, std::span<float> scores) {
  std::fill(scores.begin(), scores.end(), -std::numeric_limits<float>::infinity());
  for_query_passes(query, [&](int64_t, int64_t n_query) {  // the scores keep the maximum of the passes
    run_tasks(pool_, ceil_div(stored.n_rows, kScoreTaskRows), [&](int64_t task, int) {
      const int64_t begin = task * kScoreTaskRows, end = std::min(stored.n_rows, begin + kScoreTaskRows);
      kernels_.score(score_args(stored, begin, end, n_query), scores.data() + begin);
    });
  });
}

void CpuOps::best_cosines(const EmbeddingRows& stored, const EmbeddingRows& query, HostSpan<const int32_t> segment_ends,
                          std::span<float> best) {
  const int64_t n_segments = int64_t(segment_ends.size()), segment_floats = stored.n_heads * query.n_rows;
  CHECK((n_segments == 0 ? 0 : segment_ends.back()) == stored.n_rows);
  CHECK(int64_t(best.size()) == n_segments * segment_floats);
  const int64_t per_task = std::max<int64_t>(1, n_segments * kScoreTaskRows / std::max<int64_t>(stored.n_rows, 1));
  for_query_passes(query, [&](int64_t first, int64_t n_query) {
    run_tasks(pool_, ceil_div(n_segments, per_task), [&](int64_t task, int) {
      const int64_t end = std::min(n_segments, (task + 1) * per_task);
      for (int64_t s = task * per_task; s < end; ++s) {
        const int64_t begin_row = s == 0 ? 0 : segment_ends[size_t(s - 1)], end_row = segment_ends[size_t(s)];
        kernels_.best_cosines(score_args(stored, begin_row, end_row, n_query), query.n_rows,
                              best.data() + s * segment_floats + first);
      }
    });
  });
}

}  // namespace
}  // namespace cpu

int64_t cpu_workspace_bytes(Isa isa, const OpLimits& limits, int n_threads) {
  if (isa == Isa::kRef) return 0;
  return cpu::round_up(cpu::CpuOps::workspace_bytes(isa, limits, n_threads), 64);
}

std::unique_ptr<Ops> make_cpu_ops(Isa isa, const OpLimits& limits, ThreadPool& pool, std::span<std::byte> workspace) {
  if (isa == Isa::kRef) return make_reference_ops();
  CHECK(isa_supported(isa));
  CHECK(int64_t(workspace.size()) >= cpu_workspace_bytes(isa, limits, pool.size()));
  return std::make_unique<cpu::CpuOps>(isa, limits, pool, workspace);
}

}  // namespace reform
