// Column sums as in column_sums.cuh, with a warpgroup's products: keys in registers, queries in panels. Two blocks
// share a multiprocessor, so that one's products run while the other turns its products into probabilities. Limits: the
// tensor cores' rate, and an exp2 per query and key, which takes as long.
#pragma once

#include "kernels/cuda/observers.cuh"
#include "kernels/cuda/port.h"
#include "kernels/cuda/warpgroup.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

template <int kDimOf>
struct WarpgroupColumnTiles {
  static constexpr int kDim = kDimOf, kM = 1, kWarps = 8, kThreads = 32 * kWarps, kKeys = 16 * kWarps;
  static constexpr int kQueryBytes = 2 * kObserverTile * kDim;
  static constexpr int kStageBytes = kQueryBytes + kObserverTile * int(sizeof(Observer));
  static constexpr int kBytes = kPanelAlign + 2 * kStageBytes;
  static constexpr int kBlocks = kDim > 128 ? 1 : 2;  // per multiprocessor
  static_assert(kStageBytes % kPanelAlign == 0);
};

template <class T>
__device__ __forceinline__ void start_observer_panels(const Observers& o, int64_t h, int first, char* stage) {
  uint16_t* q = reinterpret_cast<uint16_t*>(stage);
  Observer* info = reinterpret_cast<Observer*>(stage + T::kQueryBytes);
  const int64_t at = h * o.n_padded + first;
  REFORM_UNROLL
  for (int turn = 0; turn < T::kQueryBytes / (16 * T::kThreads); ++turn) {
    const int i = turn * T::kThreads + int(threadIdx.x), row = i / (T::kDim / 8), c = i % (T::kDim / 8) * 8;
    const bool there = c < o.width;
    copy_async(q + in_panels<kObserverTile>(row, c), there ? o.q + (at + row) * o.width + c : o.q, there ? 16 : 0);
  }
  if (int(threadIdx.x) < kObserverTile) copy_async(info + threadIdx.x, o.info + at + threadIdx.x);
}

// Grid: as column_sums_kernel.
template <class T>
__global__ void __launch_bounds__(T::kThreads, T::kBlocks)
    warpgroup_column_sums_kernel(AttentionShape s, Observers o, bool is_first, float* of_head) {
#ifdef REFORM_HAS_WARPGROUPS
  char* stages = panel_memory();
  const int64_t h = blockIdx.y;
  const int begin = int(blockIdx.x) * T::kKeys, first_key = begin + int(threadIdx.x / 32) * 16;
  auto [tile, end] = QueryTiles::of(s, o, h, begin, T::kKeys);
  ColumnSums<T> own;
  own.load(s, h / s.group, first_key);
  if (tile < end) start_observer_panels<T>(o, h, tile * kObserverTile, stages + tile % 2 * T::kStageBytes);
  commit_copies();
  for (; tile < end; ++tile) {
    const char* stage = stages + tile % 2 * T::kStageBytes;
    const Observer* info = reinterpret_cast<const Observer*>(stage + T::kQueryBytes);
    wait_copies<0>();
    show_to_products();
    meet_block();  // this tile has arrived; all warps have read the last one
    if (tile + 1 < end) {
      start_observer_panels<T>(o, h, (tile + 1) * kObserverTile, stages + (tile + 1) % 2 * T::kStageBytes);
    }
    commit_copies();
    float p[kObserverTile / 8][4];
    const Factor queries = by_rows(reinterpret_cast<const uint16_t*>(stage));
    begin_products();
    REFORM_UNROLL
    for (int d = 0; d < T::kDim; d += 16) {
      multiply_own<false>(p, own.k[0][d / 16], queries.after(2 * in_panel_start<kObserverTile>(d)), d > 0);
    }
    commit_products();
    const bool all_see = s.all_see(info[0].slot, info[kObserverTile - 1].slot, first_key, first_key + 16);
    wait_products<0>();
    settle(p);
    REFORM_UNROLL
    for (int n = 0; n < kObserverTile / 8; ++n) own.weigh(s, 0, p[n], info + 8 * n, first_key, !all_see);
  }
  own.store(s, h, first_key, is_first, of_head);
#else
  (void)s, (void)o, (void)is_first, (void)of_head;
#endif
}

// As launch_attention() in attention_warpgroup.cuh.
template <int kDim>
void launch_column_sums(Stream stream, WarpgroupColumnTiles<kDim>, Dim grid, const AttentionShape& s,
                        const Observers& o, bool is_first, float* of_head);
#ifdef REFORM_DEFINES_WARPGROUP_KERNELS
template <int kDim>
void launch_column_sums(Stream stream, WarpgroupColumnTiles<kDim>, Dim grid, const AttentionShape& s,
                        const Observers& o, bool is_first, float* of_head) {
  using T = WarpgroupColumnTiles<kDim>;
  launch(stream, warpgroup_column_sums_kernel<T>, grid, {T::kThreads}, T::kBytes, s, o, is_first, of_head);
}
#endif

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
