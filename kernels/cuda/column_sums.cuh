// H2O's column sums: the attention that each slot gets from the chosen queries, computed from attention's products and
// the rows' log-sum-exp. Keys stay in registers and queries pass by, so the product is K Q^T and each thread sums its
// own slots. Limit: the tensor cores' rate for mma.sync (half of attention's products), and an exp2 per query and key.
#pragma once

#include "kernels/cuda/observers.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

template <int kDimOf>
struct ColumnTiles {
  static constexpr int kDim = kDimOf, kM = kDim > 128 ? 1 : 2, kWarps = 4, kThreads = 32 * kWarps;
  static constexpr int kKeys = 16 * kM * kWarps, kPitch = kDim + 8;
  static constexpr int kStageBytes = kObserverTile * (2 * kPitch + int(sizeof(Observer))), kBytes = 2 * kStageBytes;
};

// Grid: (places in the batch, heads).
constexpr int kGatherThreads = 64;
__global__ void gather_observers_kernel(AttentionShape s, Rows<const float> lse, const int32_t* query_rows,
                                        const float* query_weights, Observers to) {
  const int i = int(blockIdx.x);
  const int64_t h = blockIdx.y, at = h * to.n_padded + i;
  const bool there = i < to.n;
  const int t = query_rows[there ? i : to.n - 1];
  for (int d = int(threadIdx.x); d < to.width; d += kGatherThreads) {
    const bool is_value = there && d < s.head_dim;
    to.q[at * to.width + d] = is_value ? saturated_half(s.q.row(t)[h * s.head_dim + d] * s.scale) : uint16_t(0);
  }
  if (threadIdx.x != 0) return;
  const int slot = s.kv_len - int(s.q.rows) + t;
  to.info[at] = {there ? lse.row(h)[t] * kLog2E : 0.0f, there ? query_weights[i] : 0.0f, slot, 0};
}

template <class T>
__device__ __forceinline__ void start_observers(const Observers& o, int64_t h, int first, char* stage) {
  uint16_t* q = reinterpret_cast<uint16_t*>(stage);
  Observer* info = reinterpret_cast<Observer*>(q + kObserverTile * T::kPitch);
  const int64_t at = h * o.n_padded + first;
  for (int i = int(threadIdx.x); i < kObserverTile * (T::kDim / 8); i += T::kThreads) {
    const int row = i / (T::kDim / 8), c = i % (T::kDim / 8) * 8;
    const bool there = c < o.width;
    copy_async(q + row * T::kPitch + c, there ? o.q + (at + row) * o.width + c : o.q, there ? 16 : 0);
  }
  for (int i = int(threadIdx.x); i < kObserverTile; i += T::kThreads) copy_async(info + i, o.info + at + i);
  commit_copies();
}

// Multiplies the warp's keys by a tile of queries, sixteen at a time, and adds what the queries give the keys.
template <class T>
__device__ __forceinline__ void add_tile(ColumnSums<T>& own, const AttentionShape& s, const uint16_t* q,
                                         const Observer* info, int first_key, bool masked) {
  REFORM_UNROLL
  for (int n = 0; n < kObserverTile; n += 16) {
    float p[T::kM][2][4];
    REFORM_UNROLL
    for (int m = 0; m < T::kM; ++m) {
      REFORM_UNROLL
      for (int i = 0; i < 8; ++i) p[m][i / 4][i % 4] = 0;
    }
    REFORM_UNROLL
    for (int d = 0; d < T::kDim / 16; ++d) {
      uint32_t b[4];
      load_matrices(b, across_first(q, T::kPitch, n, d * 16));
      const uint32_t low[2] = {b[0], b[1]}, high[2] = {b[2], b[3]};
      REFORM_UNROLL
      for (int m = 0; m < T::kM; ++m) mma_f16(p[m][0], own.k[m][d], low), mma_f16(p[m][1], own.k[m][d], high);
    }
    REFORM_UNROLL
    for (int half = 0; half < 2; ++half) {
      REFORM_UNROLL
      for (int m = 0; m < T::kM; ++m) own.weigh(s, m, p[m][half], info + n + 8 * half, first_key, masked);
    }
  }
}

// Grid: (tiles of keys, heads). Sets, or adds to, of_head [n_heads, kv_len] what the keys get from the batch.
template <class T>
__global__ void __launch_bounds__(T::kThreads)
    column_sums_kernel(AttentionShape s, Observers o, bool is_first, float* of_head) {
  char* stages = dynamic_shared();
  const int64_t h = blockIdx.y;
  const int begin = int(blockIdx.x) * T::kKeys;
  const int first_key = begin + int(threadIdx.x / 32) * 16 * T::kM, end_key = first_key + 16 * T::kM;
  auto [tile, end] = QueryTiles::of(s, o, h, begin, T::kKeys);
  ColumnSums<T> own;
  own.load(s, h / s.group, first_key);
  if (tile < end) start_observers<T>(o, h, tile * kObserverTile, stages + tile % 2 * T::kStageBytes);
  for (; tile < end; ++tile) {
    if (tile + 1 < end) {
      start_observers<T>(o, h, (tile + 1) * kObserverTile, stages + (tile + 1) % 2 * T::kStageBytes);
    } else {
      commit_copies();
    }
    wait_copies<1>();
    meet_block();
    const uint16_t* q = reinterpret_cast<const uint16_t*>(stages + tile % 2 * T::kStageBytes);
    const Observer* info = reinterpret_cast<const Observer*>(q + kObserverTile * T::kPitch);
    const int low = info[0].slot, high = info[kObserverTile - 1].slot;
    if (s.any_sees(low, high, first_key, end_key)) {
      add_tile(own, s, q, info, first_key, !s.all_see(low, high, first_key, end_key));
    }
    meet_block();  // all warps have read the stage
  }
  own.store(s, h, first_key, is_first, of_head);
}

// Adds in the heads' order, so that the sums are the same each time.
__global__ void add_heads_kernel(const float* of_head, int64_t n_heads, int64_t kv_len, float* column_sums) {
  const int64_t slot = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (slot >= kv_len) return;
  float sum = 0;
  for (int64_t h = 0; h < n_heads; ++h) sum += of_head[h * kv_len + slot];
  column_sums[slot] += sum / float(n_heads);
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
