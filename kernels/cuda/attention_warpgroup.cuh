// Attention of many rows as in attention.cuh, with a warpgroup's products. Two warpgroups share a block's keys and
// values. While one tile's logits become probabilities, the products with the previous tile's values run
// (FlashAttention-3, arXiv 2407.08608, its pipelining within a warpgroup). Limit: the tensor cores' rate.
#pragma once

#include "kernels/cuda/attention_tile.cuh"
#include "kernels/cuda/port.h"
#include "kernels/cuda/warpgroup.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

// A warpgroup has 64 rows. Shared memory holds two tiles of keys and two of values, more than some chips have.
template <int kDimOf>
struct WarpgroupTiles {
  static constexpr int kDim = kDimOf, kM = 1, kGroups = 2, kWarps = 4 * kGroups, kThreads = 32 * kWarps;
  static constexpr int kRows = 64 * kGroups, kKeys = kDim == 128 ? 128 : 64;
  static constexpr int kBlocks = kDim > 64 ? 1 : 2;  // per multiprocessor, as registers allow
  static constexpr int kQueryElements = kRows * kDim, kTileElements = kKeys * kDim;
  static constexpr int kBytes = kPanelAlign + 2 * (kQueryElements + 4 * kTileElements);
  static __device__ int of_query(int row, int column) { return in_panels<kRows>(row, column); }
};

// Starts copying rows [begin, begin + kKeys) of one head; rows from `end` on become zero.
template <class T>
__device__ __forceinline__ void start_panels(const HalfRows& rows, int64_t head, int begin, int end, uint16_t* tile) {
  const uint16_t* from = rows.head(head);
  static_assert(T::kTileElements % (8 * T::kThreads) == 0);
  REFORM_UNROLL
  for (int turn = 0; turn < T::kTileElements / (8 * T::kThreads); ++turn) {
    const int i = turn * T::kThreads + int(threadIdx.x), key = i / (T::kDim / 8), c = i % (T::kDim / 8) * 8;
    const bool there = begin + key < end && c < rows.width;
    copy_async(tile + in_panels<T::kKeys>(key, c), there ? from + (begin + key) * rows.width + c : from,
               there ? 16 : 0);
  }
}

#ifdef REFORM_HAS_WARPGROUPS

// Starts p = the warpgroup's queries times the tile's keys.
template <class T>
__device__ __forceinline__ void start_logits(float (&p)[T::kKeys / 8][4], const uint16_t* q, const uint16_t* k) {
  const Factor rows = by_rows(q + int(threadIdx.x / 128) * 64 * kPanelColumns), keys = by_rows(k);
  REFORM_UNROLL
  for (int d = 0; d < T::kDim; d += 16) {
    multiply(p, rows.after(2 * in_panel_start<T::kRows>(d)), keys.after(2 * in_panel_start<T::kKeys>(d)), d > 0);
  }
  commit_products();
}

// Starts out += the packed probabilities times the tile's values.
template <class T>
__device__ __forceinline__ void start_values(float (&out)[T::kDim / 8][4], const uint32_t (&a)[T::kKeys / 16][4],
                                             const uint16_t* v) {
  const Factor values = by_columns(v, 2 * T::kKeys * kPanelColumns);
  REFORM_UNROLL
  for (int k = 0; k < T::kKeys / 16; ++k) multiply_own<true>(out, a[k], values.after(2 * 16 * k * kPanelColumns), true);
  commit_products();
}

#endif

// Grid: (tiles of rows times KV heads, splits).
template <class T>
__global__ void __launch_bounds__(T::kThreads, T::kBlocks)
    warpgroup_attention_kernel(AttentionShape s, AttentionOut to) {
#ifdef REFORM_HAS_WARPGROUPS
  uint16_t* q = reinterpret_cast<uint16_t*>(panel_memory());
  uint16_t *k = q + T::kQueryElements, *v = k + 2 * T::kTileElements;
  const auto [kv_head, first_row, begin, end] = BlockShare::of<T>(s);
  const int warp_row = first_row + int(threadIdx.x / 32) * 16, warp_last = min(warp_row + 16, s.n_rows()) - 1;
  const int low = s.own_slot(warp_row), high = warp_row <= warp_last ? s.own_slot(warp_last) : -1;
  const int n_tiles = (end - begin + T::kKeys - 1) / T::kKeys;

  Softmax<T> softmax;
  softmax.clear();
  uint32_t a[T::kKeys / 16][4];
  if (n_tiles > 0) start_panels<T>(s.k, kv_head, begin, s.kv_len, k);
  commit_copies();
  load_queries<T>(s, kv_head, first_row, q);
  for (int i = 0; i < n_tiles; ++i) {
    const int here = begin + i * T::kKeys;
    wait_copies<0>();
    show_to_products();
    meet_block();  // this tile's keys and the last one's values have arrived; the halves filled next have been read
    begin_products();
    start_logits<T>(softmax.p[0], q, k + i % 2 * T::kTileElements);
    if (i > 0) {
      begin_products();
      start_values<T>(softmax.out[0], a, v + (i - 1) % 2 * T::kTileElements);
    } else {
      commit_products();
    }
    // The products run while these copies fill the halves that they do not read.
    if (i + 1 < n_tiles) start_panels<T>(s.k, kv_head, here + T::kKeys, s.kv_len, k + (i + 1) % 2 * T::kTileElements);
    start_panels<T>(s.v, kv_head, here, s.kv_len, v + i % 2 * T::kTileElements);
    commit_copies();
    wait_products<1>();
    settle(softmax.p[0]);
    if (!s.all_see(low, high, here, here + T::kKeys)) softmax.mask(s, warp_row, here);
    float shrink[1][2];
    softmax.take(shrink);
    compute_first(softmax.sum[0][0] + softmax.sum[0][1], q);
    wait_products<0>();
    settle(softmax.out[0]);
    softmax.rescale(shrink);
    REFORM_UNROLL
    for (int j = 0; j < T::kKeys / 16; ++j) softmax.pack(0, j, a[j]);
  }
  wait_copies<0>();
  show_to_products();
  meet_block();
  if (n_tiles > 0) {
    begin_products();
    start_values<T>(softmax.out[0], a, v + (n_tiles - 1) % 2 * T::kTileElements);
    wait_products<0>();
    settle(softmax.out[0]);
  }
  finish(s, softmax, kv_head, warp_row, to);
#else
  (void)s, (void)to;
#endif
}

// Defined for compute capability 9.0a only (kernels_warpgroup.cu). A chip picks the newest code that it can run, so no
// other version may exist.
template <int kDim>
void launch_attention(Stream stream, WarpgroupTiles<kDim>, Dim grid, const AttentionShape& s, const AttentionOut& to);
#ifdef REFORM_DEFINES_WARPGROUP_KERNELS
template <int kDim>
void launch_attention(Stream stream, WarpgroupTiles<kDim>, Dim grid, const AttentionShape& s, const AttentionOut& to) {
  using T = WarpgroupTiles<kDim>;
  launch(stream, warpgroup_attention_kernel<T>, grid, {T::kThreads}, T::kBytes, s, to);
}
#endif

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
