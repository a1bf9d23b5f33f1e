// Attention on threads: how queries, heads and cache are divided, and where tiles lie. The arithmetic is in
// attention.inl.h.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/rope_table.h"
#include "kernels/ops.h"

namespace reform {
class ThreadPool;
}

namespace reform::cpu {

struct Call;

// A KV head's rows are (token, query head) pairs, token-major. With many rows, the head's cache is packed into tiles
// once and the tasks are blocks of rows. With few rows (decode, a short question), the tasks are ranges of the cache,
// and their partial softmax sums are merged in order. The way and every boundary depend on shapes only, so that the
// result has the same bits for any number of threads.
class Attention {
 public:
  Attention(const CpuKernels& kernels, const OpLimits& limits, ThreadPool& pool, RopeTable& ropes);

  static int64_t workspace_bytes(const OpLimits& limits, int n_threads);

  // As Ops::attention and Ops::attention_column_sums; workspace 64-byte aligned.
  void attention(const AttentionArgs& args, MatView<float> out, MatView<float> lse, std::span<std::byte> workspace);
  void column_sums(const AttentionArgs& args, MatView<const float> lse, std::span<const int32_t> query_rows,
                   std::span<const float> query_weights, std::span<float> sums, std::span<std::byte> workspace);

 private:
  void attend_row_blocks(const Call& call, MatView<float> out, MatView<float> lse, std::span<std::byte> workspace);
  void attend_splits(const Call& call, MatView<float> out, MatView<float> lse, std::span<std::byte> workspace);

  const CpuKernels& kernels_;
  const OpLimits limits_;
  ThreadPool& pool_;
  RopeTable& ropes_;
};

}  // namespace reform::cpu
