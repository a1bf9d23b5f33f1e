// Attention over [cache + call] with softmax on the way (FlashAttention-2, arXiv 2307.08691), on the tensor cores: Q, K
// and P in F16, sums in FP32. And H2O's column sums, from the same products and the rows' log-sum-exp.
#pragma once

#include "kernels/cuda/matmul.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

struct AttentionShape {
  Rows<const float> q;  // [n_tokens, n_heads * head_dim]
  KvView kv;
  int64_t n_heads, window;
  float scale;
  // Un-rotated keys: the table of all slots [kv_len, n_pairs]; n_pairs 0 where the cache holds rotated keys.
  const float *cos, *sin;
  int n_pairs;
  bool halves;

  __device__ int64_t kv_head(int64_t h) const { return h / (n_heads / kv.n_kv_heads); }
  __device__ int64_t own_slot(int64_t t) const { return kv.kv_len - q.rows + t; }
  __device__ bool sees(int64_t t, int64_t slot) const {
    const int64_t own = own_slot(t);
    return slot <= own && (window <= 0 || slot > own - window);
  }
};

constexpr int kAttentionWarps = 4, kAttentionThreads = 32 * kAttentionWarps, kQueryTile = 16 * kAttentionWarps;
constexpr float kLog2E = 1.44269504f, kLn2 = 0.69314718f;

// A head size is rounded up to one of these; the rest of a tile is zero.
template <int kDimOf>
struct Tiles {
  static constexpr int kDim = kDimOf;
  static constexpr int kKeys = kDim > 128 ? 32 : 64;  // so that a tile of each fits the smallest chip's shared memory
  static constexpr int kRow = kDim + 8;               // pitch of Q's and K's rows
  static constexpr int kColumn = kKeys + 8;           // pitch of V's, which is kept transposed
  static constexpr int kQBytes = kQueryTile * kRow * 2, kKBytes = kKeys * kRow * 2, kVBytes = kDim * kColumn * 2;
};

__device__ __forceinline__ float cached(const KvView& kv, const void* base, int64_t head, int64_t slot, int64_t d) {
  const int64_t i = (head * kv.capacity + slot) * kv.head_dim + d;
  return kv.type == KvView::Type::kF32 ? static_cast<const float*>(base)[i]
                                       : half_to_float(static_cast<const uint16_t*>(base)[i]);
}

__device__ __forceinline__ float rotated_key(const AttentionShape& s, int64_t head, int64_t slot, int d) {
  const float x = cached(s.kv, s.kv.k, head, slot, d);
  if (d >= 2 * s.n_pairs) return x;
  const int pair = s.halves ? d % s.n_pairs : d / 2;
  const bool first = s.halves ? d < s.n_pairs : d % 2 == 0;
  const int other = s.halves ? (first ? d + s.n_pairs : d - s.n_pairs) : d ^ 1;
  const float y = cached(s.kv, s.kv.k, head, slot, other);
  const float c = s.cos[slot * s.n_pairs + pair], n = s.sin[slot * s.n_pairs + pair];
  return first ? x * c - y * n : y * n + x * c;
}

template <class T>
__device__ __forceinline__ void load_keys(const AttentionShape& s, int64_t head, int64_t begin, uint16_t* k) {
  for (int i = int(threadIdx.x); i < T::kKeys * T::kDim; i += kAttentionThreads) {
    const int key = i / T::kDim, d = i % T::kDim;
    const bool there = begin + key < s.kv.kv_len && d < s.kv.head_dim;
    k[key * T::kRow + d] = there ? saturated_half(rotated_key(s, head, begin + key, d)) : uint16_t(0);
  }
}

template <class T>
__device__ __forceinline__ void load_values(const AttentionShape& s, int64_t head, int64_t begin, uint16_t* v) {
  for (int i = int(threadIdx.x); i < T::kKeys * T::kDim; i += kAttentionThreads) {
    const int key = i / T::kDim, d = i % T::kDim;
    const bool there = begin + key < s.kv.kv_len && d < s.kv.head_dim;
    v[d * T::kColumn + key] = there ? saturated_half(cached(s.kv, s.kv.v, head, begin + key, d)) : uint16_t(0);
  }
}

// Row i of the tile is query row_of(i); a negative one is none.
template <class T, class RowOf>
__device__ __forceinline__ void load_queries(const AttentionShape& s, int64_t h, RowOf row_of, uint16_t* q) {
  for (int i = int(threadIdx.x); i < kQueryTile * T::kDim; i += kAttentionThreads) {
    const int row = i / T::kDim, d = i % T::kDim;
    const int64_t t = row_of(row);
    const bool there = t >= 0 && d < s.kv.head_dim;
    q[row * T::kRow + d] = there ? saturated_half(s.q.row(t)[h * s.kv.head_dim + d]) : uint16_t(0);
  }
}

// The warp's 16 queries times the tile's keys.
template <class T>
__device__ __forceinline__ void multiply_keys(const uint16_t* q, const uint16_t* k, float (&logits)[T::kKeys / 8][4]) {
  const int warp = int(threadIdx.x / 32);
  for (int n = 0; n < T::kKeys / 8; ++n) {
    for (int i = 0; i < 4; ++i) logits[n][i] = 0;
  }
  for (int d = 0; d < T::kDim; d += 16) {
    uint32_t a[4], b[2];
    load_a(q, T::kRow, warp * 16, d, a);
    for (int n = 0; n < T::kKeys / 8; ++n) {
      load_b(k, T::kRow, n * 8, d, b);
      mma_f16(logits[n], a, b);
    }
  }
}

__device__ __forceinline__ uint32_t pack_halves(float low, float high) {
  return uint32_t(float_to_half(low)) | uint32_t(float_to_half(high)) << 16;
}

// What each thread carries for its two rows, lane / 4 and 8 below.
template <class T>
struct Softmax {
  float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};  // in powers of two
  float out[T::kDim / 8][4] = {};

  // logits (scaled, masked with -infinity) become probabilities; what was summed before is rescaled.
  __device__ void take(float (&logits)[T::kKeys / 8][4]) {
    for (int r = 0; r < 2; ++r) {
      float top = largest[r];
      for (int n = 0; n < T::kKeys / 8; ++n) top = fmaxf(top, fmaxf(logits[n][2 * r], logits[n][2 * r + 1]));
      for (int mask = 1; mask <= 2; mask *= 2) top = fmaxf(top, shuffle_xor(top, mask));
      const float base = top == -INFINITY ? 0.0f : top;  // nothing seen yet: all probabilities are zero
      const float shrink = exp2f(largest[r] - base);
      largest[r] = top;
      sum[r] *= shrink;
      for (int n = 0; n < T::kDim / 8; ++n) out[n][2 * r] *= shrink, out[n][2 * r + 1] *= shrink;
      for (int n = 0; n < T::kKeys / 8; ++n) {
        for (int i = 2 * r; i < 2 * r + 2; ++i) {
          logits[n][i] = exp2f(logits[n][i] - base);
          sum[r] += logits[n][i];
        }
      }
    }
  }

  // The probabilities, as they lie in the accumulators, are the next product's left fragments.
  __device__ void add_values(const float (&p)[T::kKeys / 8][4], const uint16_t* v) {
    for (int k = 0; k < T::kKeys / 16; ++k) {
      const uint32_t a[4] = {pack_halves(p[2 * k][0], p[2 * k][1]), pack_halves(p[2 * k][2], p[2 * k][3]),
                             pack_halves(p[2 * k + 1][0], p[2 * k + 1][1]),
                             pack_halves(p[2 * k + 1][2], p[2 * k + 1][3])};
      for (int n = 0; n < T::kDim / 8; ++n) {
        uint32_t b[2];
        load_b(v, T::kColumn, n * 8, k * 16, b);
        mma_f16(out[n], a, b);
      }
    }
  }

  __device__ void finish(const AttentionShape& s, int64_t h, int64_t first_query, const Rows<float>& y,
                         const Rows<float>& lse) {
    const int lane = int(threadIdx.x % 32);
    for (int r = 0; r < 2; ++r) {
      for (int mask = 1; mask <= 2; mask *= 2) sum[r] += shuffle_xor(sum[r], mask);
      const int64_t t = first_query + int64_t(threadIdx.x / 32) * 16 + lane / 4 + 8 * r;
      if (t >= s.q.rows) continue;
      for (int n = 0; n < T::kDim / 8; ++n) {
        for (int i = 0; i < 2; ++i) {
          const int64_t d = n * 8 + lane % 4 * 2 + i;
          if (d < s.kv.head_dim) y.row(t)[h * s.kv.head_dim + d] = out[n][2 * r + i] / sum[r];
        }
      }
      if (lse.data != nullptr && lane % 4 == 0) lse.row(h)[t] = (largest[r] + log2f(sum[r])) * kLn2;
    }
  }
};

// Block (tile of queries, head).
template <class T>
__global__ void __launch_bounds__(kAttentionThreads)
    attention_kernel(AttentionShape s, Rows<float> y, Rows<float> lse) {
  uint16_t* q = dynamic_shared<uint16_t>();
  uint16_t *k = q + T::kQBytes / 2, *v = k + T::kKBytes / 2;
  const int64_t first_query = int64_t(blockIdx.x) * kQueryTile, h = blockIdx.y, kv_head = s.kv_head(h);
  const int64_t last_query = (first_query + kQueryTile < s.q.rows ? first_query + kQueryTile : s.q.rows) - 1;
  const int64_t first_slot = s.window > 0 ? s.own_slot(first_query) - s.window + 1 : 0;
  const int lane = int(threadIdx.x % 32);
  const int64_t row = first_query + int64_t(threadIdx.x / 32) * 16 + lane / 4;
  load_queries<T>(
      s, h, [&](int i) { return first_query + i < s.q.rows ? first_query + i : int64_t(-1); }, q);
  Softmax<T> softmax;
  for (int64_t begin = first_slot > 0 ? first_slot / T::kKeys * T::kKeys : 0; begin <= s.own_slot(last_query);
       begin += T::kKeys) {
    meet_block();  // the tiles before have been read
    load_keys<T>(s, kv_head, begin, k);
    load_values<T>(s, kv_head, begin, v);
    meet_block();
    float p[T::kKeys / 8][4];
    multiply_keys<T>(q, k, p);
    for (int n = 0; n < T::kKeys / 8; ++n) {
      for (int i = 0; i < 4; ++i) {
        const int64_t slot = begin + n * 8 + lane % 4 * 2 + i % 2;
        p[n][i] = s.sees(row + 8 * (i / 2), slot) ? p[n][i] * (s.scale * kLog2E) : -INFINITY;
      }
    }
    softmax.take(p);
    softmax.add_values(p, v);
  }
  softmax.finish(s, h, first_query, y, lse);
}

// Block (tile of keys, head): what its keys get from the chosen queries, to of_head [n_heads, kv_len].
template <class T>
__global__ void __launch_bounds__(kAttentionThreads)
    column_sums_kernel(AttentionShape s, Rows<const float> lse, const int32_t* query_rows, const float* query_weights,
                       int64_t n_queries, float* of_head) {
  uint16_t* q = dynamic_shared<uint16_t>();
  uint16_t* k = q + T::kQBytes / 2;
  float* of_warp = reinterpret_cast<float*>(k + T::kKBytes / 2);  // [warps, keys]
  const int64_t begin = int64_t(blockIdx.x) * T::kKeys, h = blockIdx.y;
  const int lane = int(threadIdx.x % 32), warp = int(threadIdx.x / 32);
  load_keys<T>(s, s.kv_head(h), begin, k);
  float sums[T::kKeys / 8][2] = {};
  for (int64_t first = 0; first < n_queries; first += kQueryTile) {
    const int64_t last = first + kQueryTile < n_queries ? first + kQueryTile : n_queries;
    if (s.own_slot(query_rows[last - 1]) < begin) continue;  // rows ascend: none of these sees the tile
    meet_block();
    load_queries<T>(
        s, h, [&](int i) { return first + i < n_queries ? int64_t(query_rows[first + i]) : -1; }, q);
    meet_block();
    float p[T::kKeys / 8][4];
    multiply_keys<T>(q, k, p);
    for (int r = 0; r < 2; ++r) {
      const int64_t chosen = first + warp * 16 + lane / 4 + 8 * r;
      if (chosen >= n_queries) continue;
      const int64_t t = query_rows[chosen];
      const float weight = query_weights[chosen], log_sum = lse.row(h)[t];
      for (int n = 0; n < T::kKeys / 8; ++n) {
        for (int i = 0; i < 2; ++i) {
          const int64_t slot = begin + n * 8 + lane % 4 * 2 + i;
          if (s.sees(t, slot)) sums[n][i] += weight * exp2f((p[n][2 * r + i] * s.scale - log_sum) * kLog2E);
        }
      }
    }
  }
  for (int n = 0; n < T::kKeys / 8; ++n) {
    for (int i = 0; i < 2; ++i) {
      float sum = sums[n][i];
      for (int mask = 4; mask <= 16; mask *= 2) sum += shuffle_xor(sum, mask);
      if (lane < 4) of_warp[warp * T::kKeys + n * 8 + lane * 2 + i] = sum;
    }
  }
  meet_block();
  for (int key = int(threadIdx.x); key < T::kKeys; key += kAttentionThreads) {
    if (begin + key >= s.kv.kv_len) continue;
    float sum = 0;
    for (int w = 0; w < kAttentionWarps; ++w) sum += of_warp[w * T::kKeys + key];
    of_head[h * s.kv.kv_len + begin + key] = sum;
  }
}

// In the heads' order, so that the sums are the same each time.
__global__ void add_heads_kernel(const float* of_head, int64_t n_heads, int64_t kv_len, float* column_sums) {
  const int64_t slot = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (slot >= kv_len) return;
  float sum = 0;
  for (int64_t h = 0; h < n_heads; ++h) sum += of_head[h * kv_len + slot];
  column_sums[slot] += sum / float(n_heads);
}

// Calls fn(Tiles<…>{}) for the smallest tile that holds head_dim (256 at most).
template <class Fn>
void with_tiles(int64_t head_dim, Fn fn) {
  if (head_dim <= 32) return fn(Tiles<32>{});
  if (head_dim <= 64) return fn(Tiles<64>{});
  if (head_dim <= 80) return fn(Tiles<80>{});
  if (head_dim <= 96) return fn(Tiles<96>{});
  if (head_dim <= 128) return fn(Tiles<128>{});
  return fn(Tiles<256>{});
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
