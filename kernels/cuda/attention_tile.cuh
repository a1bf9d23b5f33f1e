// What attention's kernels share: the problem, each block's part of it, and the softmax of a tile of rows as it passes
// over the keys.
#pragma once

#include "kernels/cuda/narrow.cuh"
#include "kernels/cuda/rows.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

constexpr float kLog2E = 1.44269504f, kLn2 = 0.69314718f;

// What attention reads: F16 rows in whole pieces of 16 bytes. Row (head, slot) begins at data + head * head_stride +
// slot * width. `width` is head_dim rounded up to a multiple of 8; the columns past head_dim are zero.
struct HalfRows {
  const uint16_t* data;
  int64_t head_stride, width;
  __device__ const uint16_t* head(int64_t h) const { return data + h * head_stride; }
};

// Slots are ints here. Row r of KV head g is token r / group, head g * group + r % group.
struct AttentionShape {
  Rows<const float> q;  // [n_tokens, n_heads * head_dim]
  HalfRows k, v;
  int head_dim, n_heads, n_kv_heads, group;
  int kv_len, window;  // window: kv_len if there is none
  float scale;         // includes log2 e, so logits are powers of two

  __device__ int n_rows() const { return int(q.rows) * group; }
  __device__ int own_slot(int row) const { return kv_len - int(q.rows) + row / group; }
  __device__ int64_t head_of(int64_t kv_head, int row) const { return kv_head * group + row % group; }
  // For rows at slots [low, high] and keys [begin, end): whether any row sees any key, and whether every row sees every
  // key.
  __device__ bool any_sees(int low, int high, int begin, int end) const {
    return begin <= high && end > low - window + 1;
  }
  __device__ bool all_see(int low, int high, int begin, int end) const {
    return end - 1 <= low && begin > high - window;
  }
};

// Writes a tile of rows, scaled: element (row, column) goes to q[T::of_query(row, column)].
template <class T>
__device__ __forceinline__ void load_queries(const AttentionShape& s, int64_t kv_head, int first_row, uint16_t* q) {
  for (int i = int(threadIdx.x / 32); i < T::kRows; i += T::kWarps) {
    const int row = first_row + i;
    const bool there = row < s.n_rows();
    const float* from = there ? s.q.row(row / s.group) + s.head_of(kv_head, row) * s.head_dim : nullptr;
    for (int d = int(threadIdx.x % 32); d < T::kDim; d += 32) {
      q[T::of_query(i, d)] = there && d < s.head_dim ? saturated_half(from[d] * s.scale) : uint16_t(0);
    }
  }
}

// The row that this lane names for load_matrices(), so that the four matrices are the quarters of a 16 x 16 square at
// (row, column). Down first is the order of an A fragment.
__device__ __forceinline__ const uint16_t* down_first(const uint16_t* tile, int pitch, int row, int column) {
  const int lane = int(threadIdx.x % 32);
  return tile + (row + lane % 16) * pitch + column + lane / 16 * 8;
}
// Across first: two B fragments of eight outputs each, from rows of outputs.
__device__ __forceinline__ const uint16_t* across_first(const uint16_t* tile, int pitch, int row, int column) {
  const int lane = int(threadIdx.x % 32);
  return tile + (row + lane % 8 + lane / 16 * 8) * pitch + column + lane / 8 % 2 * 8;
}

// What a thread holds of each of its warp's kM squares: two rows, lane / 4 and lane / 4 + 8.
template <class T>
struct Softmax {
  float largest[T::kM][2], sum[T::kM][2];  // exponents of two; sums of powers of two
  float p[T::kM][T::kKeys / 8][4];         // the tile's logits, then its probabilities
  float out[T::kM][T::kDim / 8][4];

  __device__ void clear() {
    REFORM_UNROLL
    for (int m = 0; m < T::kM; ++m) {
      REFORM_UNROLL
      for (int r = 0; r < 2; ++r) largest[m][r] = -INFINITY, sum[m][r] = 0;
      REFORM_UNROLL
      for (int n = 0; n < T::kDim / 8; ++n) {
        REFORM_UNROLL
        for (int i = 0; i < 4; ++i) out[m][n][i] = 0;
      }
    }
  }

  // p = the warp's queries times the tile's keys.
  __device__ void multiply_keys(const uint16_t* q, const uint16_t* k) {
    REFORM_UNROLL
    for (int m = 0; m < T::kM; ++m) {
      REFORM_UNROLL
      for (int n = 0; n < T::kKeys / 8; ++n) {
        REFORM_UNROLL
        for (int i = 0; i < 4; ++i) p[m][n][i] = 0;
      }
    }
    REFORM_UNROLL
    for (int d = 0; d < T::kDim; d += 16) {
      uint32_t a[T::kM][4];
      REFORM_UNROLL
      for (int m = 0; m < T::kM; ++m) load_matrices(a[m], down_first(q, T::kPitch, m * 16, d));
      REFORM_UNROLL
      for (int n = 0; n < T::kKeys / 8; n += 2) {
        uint32_t b[4];
        load_matrices(b, across_first(k, T::kPitch, n * 8, d));
        const uint32_t low[2] = {b[0], b[1]}, high[2] = {b[2], b[3]};
        REFORM_UNROLL
        for (int m = 0; m < T::kM; ++m) mma_f16(p[m][n], a[m], low), mma_f16(p[m][n + 1], a[m], high);
      }
    }
  }

  __device__ void mask(const AttentionShape& s, int first_row, int begin) {
    const int lane = int(threadIdx.x % 32);
    REFORM_UNROLL
    for (int m = 0; m < T::kM; ++m) {
      REFORM_UNROLL
      for (int r = 0; r < 2; ++r) {
        const int own = s.own_slot(first_row + m * 16 + lane / 4 + 8 * r);
        REFORM_UNROLL
        for (int n = 0; n < T::kKeys / 8; ++n) {
          REFORM_UNROLL
          for (int i = 0; i < 2; ++i) {
            const int slot = begin + n * 8 + lane % 4 * 2 + i;
            if (slot > own || slot <= own - s.window) p[m][n][2 * r + i] = -INFINITY;
          }
        }
      }
    }
  }

  // Turns logits into probabilities. The caller rescales the output so far by `shrink`.
  __device__ void take(float (&shrink)[T::kM][2]) {
    REFORM_UNROLL
    for (int m = 0; m < T::kM; ++m) {
      REFORM_UNROLL
      for (int r = 0; r < 2; ++r) {
        float top = largest[m][r];
        REFORM_UNROLL
        for (int n = 0; n < T::kKeys / 8; ++n) top = fmaxf(top, fmaxf(p[m][n][2 * r], p[m][n][2 * r + 1]));
        REFORM_UNROLL
        for (int lanes = 1; lanes <= 2; lanes *= 2) top = fmaxf(top, shuffle_xor(top, lanes));
        const float base = top == -INFINITY ? 0.0f : top;  // no key seen yet: every probability is zero
        shrink[m][r] = power_of_two(largest[m][r] - base);
        largest[m][r] = top;
        sum[m][r] *= shrink[m][r];
        REFORM_UNROLL
        for (int n = 0; n < T::kKeys / 8; ++n) {
          REFORM_UNROLL
          for (int i = 2 * r; i < 2 * r + 2; ++i) {
            p[m][n][i] = power_of_two(p[m][n][i] - base);
            sum[m][r] += p[m][n][i];
          }
        }
      }
    }
  }

  __device__ void rescale(const float (&shrink)[T::kM][2]) {
    REFORM_UNROLL
    for (int m = 0; m < T::kM; ++m) {
      REFORM_UNROLL
      for (int n = 0; n < T::kDim / 8; ++n) {
        REFORM_UNROLL
        for (int i = 0; i < 4; ++i) out[m][n][i] *= shrink[m][i / 2];
      }
    }
  }

  // The probabilities of keys 16 k to 16 k + 15. They lie in the accumulators as the next product wants its left
  // fragment.
  __device__ void pack(int m, int k, uint32_t (&a)[4]) const {
    REFORM_UNROLL
    for (int i = 0; i < 4; ++i) {
      const float* pair = p[m][2 * k + i / 2] + i % 2 * 2;
      a[i] = pack_halves(pair[0], pair[1]);
    }
  }

  __device__ void add_values(const uint16_t* v) {
    REFORM_UNROLL
    for (int k = 0; k < T::kKeys / 16; ++k) {
      uint32_t a[T::kM][4];
      REFORM_UNROLL
      for (int m = 0; m < T::kM; ++m) pack(m, k, a[m]);
      REFORM_UNROLL
      for (int n = 0; n < T::kDim / 8; n += 2) {
        uint32_t b[4];
        load_matrices_transposed(b, down_first(v, T::kPitch, k * 16, n * 8));
        const uint32_t low[2] = {b[0], b[1]}, high[2] = {b[2], b[3]};
        REFORM_UNROLL
        for (int m = 0; m < T::kM; ++m) mma_f16(out[m][n], a[m], low), mma_f16(out[m][n + 1], a[m], high);
      }
    }
  }
};

// Where a block's rows go. Without splits: to y and lse. With splits: to partial [n_splits, n_tokens * n_heads,
// head_dim + 2], where a row is the sums over the split's keys, then its largest logit and its denominator.
struct AttentionOut {
  Rows<float> y, lse;
  float* partial;  // or nullptr
  Narrow narrow;   // a copy of y as elements; none when there are partial results
};

template <class T>
__device__ __forceinline__ void finish(const AttentionShape& s, Softmax<T>& softmax, int64_t kv_head, int first_row,
                                       const AttentionOut& to) {
  const int lane = int(threadIdx.x % 32);
  REFORM_UNROLL
  for (int m = 0; m < T::kM; ++m) {
    REFORM_UNROLL
    for (int r = 0; r < 2; ++r) {
      float sum = softmax.sum[m][r];
      const float largest = softmax.largest[m][r];
      REFORM_UNROLL
      for (int lanes = 1; lanes <= 2; lanes *= 2) sum += shuffle_xor(sum, lanes);
      const int row = first_row + m * 16 + lane / 4 + 8 * r;
      if (row >= s.n_rows()) continue;
      const int64_t t = row / s.group, h = s.head_of(kv_head, row);
      const int64_t width = s.head_dim + 2, n_all = s.q.rows * s.n_heads;
      float* y = to.partial == nullptr ? to.y.row(t) + h * s.head_dim
                                       : to.partial + (blockIdx.y * n_all + t * s.n_heads + h) * width;
      const float factor = to.partial == nullptr ? 1.0f / sum : 1.0f;
      REFORM_UNROLL
      for (int n = 0; n < T::kDim / 8; ++n) {
        REFORM_UNROLL
        for (int i = 0; i < 2; ++i) {
          const int d = n * 8 + lane % 4 * 2 + i;
          if (d >= s.head_dim) continue;
          y[d] = softmax.out[m][n][2 * r + i] * factor;
          if (to.narrow.elements != nullptr)
            to.narrow.elements[t * to.narrow.stride + h * s.head_dim + d] = to_element(to.narrow.element, y[d]);
        }
      }
      if (lane % 4 != 0) continue;
      if (to.partial != nullptr)
        y[s.head_dim] = largest, y[s.head_dim + 1] = sum;
      else if (to.lse.data != nullptr)
        to.lse.row(h)[t] = (largest + log2f(sum)) * kLn2;
    }
  }
}

// What a block does: rows of one KV head, and those of the keys [begin, end) that they see, or this split's share of
// them. Rows that see most keys come first, so that no long block starts last.
struct BlockShare {
  int64_t kv_head;
  int first_row, begin, end;

  template <class T>
  __device__ static BlockShare of(const AttentionShape& s) {
    const int tile = int(gridDim.x / unsigned(s.n_kv_heads)) - 1 - int(blockIdx.x / unsigned(s.n_kv_heads));
    BlockShare b{blockIdx.x % unsigned(s.n_kv_heads), tile * T::kRows, 0, 0};
    const int last_row = min(b.first_row + T::kRows, s.n_rows()) - 1;
    b.begin = max(s.own_slot(b.first_row) - s.window + 1, 0) / T::kKeys * T::kKeys, b.end = s.own_slot(last_row) + 1;
    const int n_splits = int(gridDim.y), n_tiles = (b.end - b.begin + T::kKeys - 1) / T::kKeys;
    const int share = (n_tiles + n_splits - 1) / n_splits * T::kKeys;
    b.begin += min(int(blockIdx.y) * share, b.end - b.begin), b.end = min(b.end, b.begin + share);
    return b;
  }
};

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
