// The queries that column sums are taken over, and what a thread sums for its keys.
#pragma once

#include "kernels/cuda/attention_tile.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

// A chosen query of one head.
struct alignas(16) Observer {
  float log_sum, weight;  // log_sum: of base 2
  int32_t slot, unused;
};

constexpr int kObserverTile = 64, kObserverBatch = 2048;

// The chosen queries that one launch sums over: n of them, then queries of weight zero up to a whole tile.
struct Observers {
  uint16_t* q;     // [n_heads, n_padded, width], scaled as attention's
  Observer* info;  // [n_heads, n_padded], slots ascending
  int n, n_padded, width;
};

// The number of tiles before the first one that satisfies `found`. Every later tile must satisfy it too.
template <class Found>
__device__ __forceinline__ int tiles_before(int n_tiles, Found found) {
  int low = 0, high = n_tiles;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (found(middle))
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

// The tiles [begin, end) of a head's queries that see any of the keys [first, first + n). Slots ascend, so these tiles
// are consecutive.
struct QueryTiles {
  int begin, end;

  __device__ static QueryTiles of(const AttentionShape& s, const Observers& o, int64_t h, int first, int n) {
    const Observer* all = o.info + h * o.n_padded;
    const int n_tiles = o.n_padded / kObserverTile;
    return {tiles_before(n_tiles, [&](int i) { return all[(i + 1) * kObserverTile - 1].slot >= first; }),
            tiles_before(n_tiles, [&](int i) { return all[i * kObserverTile].slot - s.window >= first + n - 1; })};
  }
};

// Loads the warp's keys, from slot `first` on, as A fragments.
template <class T>
__device__ __forceinline__ void load_keys(const AttentionShape& s, int64_t kv_head, int first,
                                          uint32_t (&k)[T::kM][T::kDim / 16][4]) {
  const int lane = int(threadIdx.x % 32);
  REFORM_UNROLL
  for (int m = 0; m < T::kM; ++m) {
    REFORM_UNROLL
    for (int d = 0; d < T::kDim / 16; ++d) {
      REFORM_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int slot = first + m * 16 + lane / 4 + i % 2 * 8, c = d * 16 + lane % 4 * 2 + i / 2 * 8;
        const bool there = slot < s.kv_len && c < s.k.width;
        k[m][d][i] = there ? *reinterpret_cast<const uint32_t*>(s.k.head(kv_head) + slot * s.k.width + c) : 0;
      }
    }
  }
}

// A thread's sums: one for each of the two keys that it has in each square.
template <class T>
struct ColumnSums {
  uint32_t k[T::kM][T::kDim / 16][4];
  float sums[T::kM][2];

  __device__ void load(const AttentionShape& s, int64_t kv_head, int first_key) {
    load_keys<T>(s, kv_head, first_key, k);
    REFORM_UNROLL
    for (int m = 0; m < T::kM; ++m) sums[m][0] = sums[m][1] = 0;
  }

  // Adds what eight queries give the keys of square m; p is the product.
  __device__ void weigh(const AttentionShape& s, int m, const float (&p)[4], const Observer* eight, int first_key,
                        bool masked) {
    const int lane = int(threadIdx.x % 32);
    REFORM_UNROLL
    for (int c = 0; c < 2; ++c) {
      const Observer o = eight[lane % 4 * 2 + c];
      REFORM_UNROLL
      for (int r = 0; r < 2; ++r) {
        const int slot = first_key + m * 16 + lane / 4 + 8 * r;
        const bool sees = !masked || (slot <= o.slot && slot > o.slot - s.window);
        const float probability = power_of_two(p[2 * r + c] - o.log_sum);
        sums[m][r] += sees ? o.weight * probability : 0.0f;
      }
    }
  }

  // Sets of_head [n_heads, kv_len] for the first batch, and adds to it afterwards.
  __device__ void store(const AttentionShape& s, int64_t h, int first_key, bool is_first, float* of_head) const {
    const int lane = int(threadIdx.x % 32);
    REFORM_UNROLL
    for (int m = 0; m < T::kM; ++m) {
      REFORM_UNROLL
      for (int r = 0; r < 2; ++r) {
        float sum = sums[m][r];
        REFORM_UNROLL
        for (int lanes = 1; lanes <= 2; lanes *= 2) sum += shuffle_xor(sum, lanes);
        const int64_t slot = first_key + m * 16 + lane / 4 + 8 * r;
        if (lane % 4 != 0 || slot >= s.kv_len) continue;
        float* to = of_head + h * s.kv_len + slot;
        *to = is_first ? sum : *to + sum;
      }
    }
  }
};

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
