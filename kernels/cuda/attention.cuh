// Attention over [cache + call] with an online softmax (FlashAttention-2, arXiv 2307.08691), on the tensor cores: Q, K
// and P in F16, sums in FP32. A tile's rows are the queries of all heads that share a KV head, so K and V are read once
// for them all. Where rows are few, the keys are split over blocks (flash-decoding) and a second kernel joins the
// splits. Limits: with many rows, the tensor cores' rate for mma.sync; with few, the bytes of K and V.
#pragma once

#include "kernels/cuda/attention_tile.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

// kDim is the head size rounded up; the rest of a tile is zero. A warp has 16 kM rows: more rows read less of K and V
// per product but take more registers. Every size fits the 99 KiB of shared memory that all chips have.
template <int kDimOf, int kMOf, int kWarpsOf>
struct Tiles {
  static constexpr int kDim = kDimOf, kM = kMOf, kWarps = kWarpsOf, kThreads = 32 * kWarps;
  static constexpr int kRows = 16 * kM * kWarps, kKeys = kDim > 128 ? 32 : 64;
  static constexpr int kPitch = kDim + 8;  // elements a row of a tile: a matrix's eight rows lie in different banks
  static constexpr int kBytes = 2 * kPitch * (kRows + 2 * kKeys);
  static __device__ int of_query(int row, int column) { return row * kPitch + column; }
};

// Starts copying rows [begin, begin + kKeys) of one head; rows from `end` on become zero.
template <class T>
__device__ __forceinline__ void start_tile(const HalfRows& rows, int64_t head, int begin, int end, uint16_t* tile) {
  const uint16_t* from = rows.head(head);
  for (int i = int(threadIdx.x); i < T::kKeys * (T::kDim / 8); i += T::kThreads) {
    const int key = i / (T::kDim / 8), c = i % (T::kDim / 8) * 8;
    const bool there = begin + key < end && c < rows.width;
    copy_async(tile + key * T::kPitch + c, there ? from + (begin + key) * rows.width + c : from, there ? 16 : 0);
  }
  commit_copies();
}

// Grid: (tiles of rows times KV heads, splits).
template <class T>
__global__ void __launch_bounds__(T::kThreads) attention_kernel(AttentionShape s, AttentionOut to) {
  uint16_t* q = dynamic_shared<uint16_t>();
  uint16_t *k = q + T::kRows * T::kPitch, *v = k + T::kKeys * T::kPitch;
  auto [kv_head, first_row, begin, end] = BlockShare::of<T>(s);
  const int warp_row = first_row + int(threadIdx.x / 32) * 16 * T::kM;
  const int warp_last = min(warp_row + 16 * T::kM, s.n_rows()) - 1;
  const int low = s.own_slot(warp_row), high = warp_row <= warp_last ? s.own_slot(warp_last) : -1;

  Softmax<T> softmax;
  softmax.clear();
  if (begin < end) start_tile<T>(s.k, kv_head, begin, s.kv_len, k);
  load_queries<T>(s, kv_head, first_row, q);
  const uint16_t* own_q = q + int(threadIdx.x / 32) * 16 * T::kM * T::kPitch;
  for (; begin < end; begin += T::kKeys) {
    const bool sees = s.any_sees(low, high, begin, begin + T::kKeys);
    wait_copies<0>();
    meet_block();  // K has arrived; all warps have read the last V
    start_tile<T>(s.v, kv_head, begin, s.kv_len, v);
    if (sees) softmax.multiply_keys(own_q, k);
    wait_copies<0>();
    meet_block();  // V has arrived; all warps have read K
    if (begin + T::kKeys < end) start_tile<T>(s.k, kv_head, begin + T::kKeys, s.kv_len, k);
    if (!sees) continue;
    if (!s.all_see(low, high, begin, begin + T::kKeys)) softmax.mask(s, warp_row, begin);
    float shrink[T::kM][2];
    softmax.take(shrink);
    softmax.rescale(shrink);
    softmax.add_values(v);
  }
  finish(s, softmax, kv_head, warp_row, to);
}

// Joins the splits of row blockIdx.x of [n_tokens * n_heads], in the splits' order. First, each thread loads the weight
// of one split. Then each thread sums one dimension. So no load waits for another.
constexpr int kJoinThreads = 128, kMaxSplits = 64;
__global__ void __launch_bounds__(kJoinThreads)
    join_splits_kernel(const float* partial, int n_splits, int n_heads, int head_dim, Rows<float> y, Rows<float> lse) {
  __shared__ float largest[kMaxSplits], sums[kMaxSplits];
  const int64_t width = head_dim + 2, step = gridDim.x * width, t = blockIdx.x / unsigned(n_heads);
  const int64_t h = blockIdx.x % unsigned(n_heads);
  const float* row = partial + blockIdx.x * width;
  if (int(threadIdx.x) < n_splits) {
    largest[threadIdx.x] = row[threadIdx.x * step + head_dim];
    sums[threadIdx.x] = row[threadIdx.x * step + head_dim + 1];
  }
  meet_block();
  float top = -INFINITY, sum = 0;
  for (int i = 0; i < n_splits; ++i) top = fmaxf(top, largest[i]);
  for (int i = 0; i < n_splits; ++i) sum += power_of_two(largest[i] - top) * sums[i];
  for (int d = int(threadIdx.x); d < head_dim; d += kJoinThreads) {
    float out = 0;
    for (int begin = 0; begin < n_splits; begin += 16) {
      float values[16];
      REFORM_UNROLL
      for (int i = 0; i < 16; ++i) values[i] = begin + i < n_splits ? row[(begin + i) * step + d] : 0.0f;
      REFORM_UNROLL
      for (int i = 0; i < 16; ++i) {
        if (begin + i < n_splits) out += power_of_two(largest[begin + i] - top) * values[i];
      }
    }
    y.row(t)[h * head_dim + d] = out / sum;
  }
  if (threadIdx.x == 0 && lse.data != nullptr) lse.row(h)[t] = (top + log2f(sum)) * kLn2;
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
