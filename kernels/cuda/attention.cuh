// Attention over [cache + call] with softmax on the way (FlashAttention-2, arXiv 2307.08691), on the tensor cores: Q, K
// and P in F16, sums in FP32. The rows of a tile are queries of all the heads that share a KV head, so that K and V are
// read once for them. Where rows are few, the keys are split over blocks (flash-decoding) and a second kernel joins
// them. Limits: many rows, the tensor cores' rate for mma.sync; few, the bytes of K and V.
#pragma once

#include "kernels/cuda/kv.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

constexpr float kLog2E = 1.44269504f, kLn2 = 0.69314718f;

// Slots are ints in here. Row r of KV head g is token r / group, head g * group + r % group.
struct AttentionShape {
  Rows<const float> q;  // [n_tokens, n_heads * head_dim]
  HalfRows k, v;
  int head_dim, n_heads, n_kv_heads, group;
  int kv_len, window;  // window: kv_len where there is none
  float scale;         // times log2 e: logits are in powers of two

  __device__ int n_rows() const { return int(q.rows) * group; }
  __device__ int own_slot(int row) const { return kv_len - int(q.rows) + row / group; }
  __device__ int64_t head_of(int64_t kv_head, int row) const { return kv_head * group + row % group; }
  // Of rows that sit at slots [low, high]: whether any of them sees any of the keys [begin, end), and all of them all.
  __device__ bool any_sees(int low, int high, int begin, int end) const {
    return begin <= high && end > low - window + 1;
  }
  __device__ bool all_see(int low, int high, int begin, int end) const {
    return end - 1 <= low && begin > high - window;
  }
};

// A head size is rounded up to kDim; the rest of a tile is zero. A warp has kM times 16 rows: the more, the less it
// reads of K and V per product, and the more registers it takes. All sizes fit the 99 KiB that every chip has.
template <int kDimOf, int kMOf, int kWarpsOf>
struct Tiles {
  static constexpr int kDim = kDimOf, kM = kMOf, kWarps = kWarpsOf, kThreads = 32 * kWarps;
  static constexpr int kRows = 16 * kM * kWarps, kKeys = kDim > 128 ? 32 : 64;
  static constexpr int kPitch = kDim + 8;  // of a tile's row: eight rows of a matrix lie in different banks
  static constexpr int kBytes = 2 * kPitch * (kRows + 2 * kKeys);
};

// Starts to copy rows [begin, begin + kKeys) of one head; those from `end` on are zero.
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

template <class T>
__device__ __forceinline__ void load_queries(const AttentionShape& s, int64_t kv_head, int first_row, uint16_t* q) {
  for (int i = int(threadIdx.x / 32); i < T::kRows; i += T::kWarps) {
    const int row = first_row + i;
    const bool there = row < s.n_rows();
    const float* from = there ? s.q.row(row / s.group) + s.head_of(kv_head, row) * s.head_dim : nullptr;
    for (int d = int(threadIdx.x % 32); d < T::kDim; d += 32) {
      q[i * T::kPitch + d] = there && d < s.head_dim ? saturated_half(from[d] * s.scale) : uint16_t(0);
    }
  }
}

// A matrix's row for load_matrices, so that its four are the quarters of a 16 x 16 square at (row, column): in the
// order of an A fragment, down first.
__device__ __forceinline__ const uint16_t* down_first(const uint16_t* tile, int pitch, int row, int column) {
  const int lane = int(threadIdx.x % 32);
  return tile + (row + lane % 16) * pitch + column + lane / 16 * 8;
}
// Across first: two B fragments of eight outputs each, from rows of outputs.
__device__ __forceinline__ const uint16_t* across_first(const uint16_t* tile, int pitch, int row, int column) {
  const int lane = int(threadIdx.x % 32);
  return tile + (row + lane % 8 + lane / 16 * 8) * pitch + column + lane / 8 % 2 * 8;
}

// What each thread carries for its two rows, lane / 4 and 8 below, of each of the warp's kM squares.
template <class T>
struct Softmax {
  float largest[T::kM][2], sum[T::kM][2];  // in powers of two
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

  // Logits become probabilities; what was summed before is rescaled.
  __device__ void take() {
    REFORM_UNROLL
    for (int m = 0; m < T::kM; ++m) {
      REFORM_UNROLL
      for (int r = 0; r < 2; ++r) {
        float top = largest[m][r];
        REFORM_UNROLL
        for (int n = 0; n < T::kKeys / 8; ++n) top = fmaxf(top, fmaxf(p[m][n][2 * r], p[m][n][2 * r + 1]));
        REFORM_UNROLL
        for (int lanes = 1; lanes <= 2; lanes *= 2) top = fmaxf(top, shuffle_xor(top, lanes));
        const float base = top == -INFINITY ? 0.0f : top;  // nothing seen yet: all probabilities are zero
        const float shrink = power_of_two(largest[m][r] - base);
        largest[m][r] = top;
        sum[m][r] *= shrink;
        REFORM_UNROLL
        for (int n = 0; n < T::kDim / 8; ++n) out[m][n][2 * r] *= shrink, out[m][n][2 * r + 1] *= shrink;
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

  // The probabilities, as they lie in the accumulators, are the next product's left fragments.
  __device__ void add_values(const uint16_t* v) {
    REFORM_UNROLL
    for (int k = 0; k < T::kKeys / 16; ++k) {
      uint32_t a[T::kM][4];
      REFORM_UNROLL
      for (int m = 0; m < T::kM; ++m) {
        REFORM_UNROLL
        for (int i = 0; i < 4; ++i) {
          const float* pair = p[m][2 * k + i / 2] + i % 2 * 2;
          a[m][i] = pack_halves(pair[0], pair[1]);
        }
      }
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

// Where a block's rows go: y and lse, or its share of them to partial [n_splits, n_tokens * n_heads, head_dim + 2]: the
// sums over its keys, then its largest logit and its denominator.
struct AttentionOut {
  Rows<float> y, lse;
  float* partial;  // or nullptr
  Narrow narrow;   // of y, its elements, unless there are partial results
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

// Block (tile of rows and KV head, split); rows that see most come first, so that no long block starts last.
template <class T>
__global__ void __launch_bounds__(T::kThreads) attention_kernel(AttentionShape s, AttentionOut to) {
  uint16_t* q = dynamic_shared<uint16_t>();
  uint16_t *k = q + T::kRows * T::kPitch, *v = k + T::kKeys * T::kPitch;
  const int tile = int(gridDim.x / unsigned(s.n_kv_heads)) - 1 - int(blockIdx.x / unsigned(s.n_kv_heads));
  const int64_t kv_head = blockIdx.x % unsigned(s.n_kv_heads);
  const int first_row = tile * T::kRows, last_row = min(first_row + T::kRows, s.n_rows()) - 1;
  const int warp_row = first_row + int(threadIdx.x / 32) * 16 * T::kM;
  const int warp_last = min(warp_row + 16 * T::kM, s.n_rows()) - 1;
  const int low = s.own_slot(warp_row), high = warp_row <= warp_last ? s.own_slot(warp_last) : -1;

  // The tiles of keys that the rows see, and this split's share of them.
  int begin = max(s.own_slot(first_row) - s.window + 1, 0) / T::kKeys * T::kKeys, end = s.own_slot(last_row) + 1;
  const int n_splits = int(gridDim.y), n_tiles = (end - begin + T::kKeys - 1) / T::kKeys;
  const int share = (n_tiles + n_splits - 1) / n_splits * T::kKeys;
  begin += min(int(blockIdx.y) * share, end - begin), end = min(end, begin + share);

  Softmax<T> softmax;
  softmax.clear();
  if (begin < end) start_tile<T>(s.k, kv_head, begin, s.kv_len, k);
  load_queries<T>(s, kv_head, first_row, q);
  const uint16_t* own_q = q + int(threadIdx.x / 32) * 16 * T::kM * T::kPitch;
  for (; begin < end; begin += T::kKeys) {
    const bool sees = s.any_sees(low, high, begin, begin + T::kKeys);
    wait_copies<0>();
    meet_block();  // K is there, the V before has been read
    start_tile<T>(s.v, kv_head, begin, s.kv_len, v);
    if (sees) softmax.multiply_keys(own_q, k);
    wait_copies<0>();
    meet_block();  // V is there, K has been read
    if (begin + T::kKeys < end) start_tile<T>(s.k, kv_head, begin + T::kKeys, s.kv_len, k);
    if (!sees) continue;
    if (!s.all_see(low, high, begin, begin + T::kKeys)) softmax.mask(s, warp_row, begin);
    softmax.take();
    softmax.add_values(v);
  }
  finish(s, softmax, kv_head, warp_row, to);
}

// Joins the splits of row blockIdx.x of [n_tokens * n_heads], in their order. A thread per split fetches what it
// weighs, then a thread per dimension sums: loads that do not wait for each other.
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
