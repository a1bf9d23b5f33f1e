// The ops without products of matrices. One thread per element or pair; one block per row where a row is summed.
#pragma once

#include "kernels/cuda/formats.cuh"
#include "kernels/ops.h"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

constexpr int kRowThreads = 256;

// MatView as a kernel takes it.
template <class T>
struct Rows {
  T* data;
  int64_t rows, cols, stride;
  __device__ T* row(int64_t r) const { return data + r * stride; }
};
template <class T>
Rows<T> rows_of(const MatView<T>& m) {
  return {m.data, m.rows, m.cols, m.stride_elems};
}

// The sum of every thread's value, for all of the block's kRowThreads, in the same order whatever the block.
__device__ __forceinline__ float block_sum(float value) {
  __shared__ float of_warp[kRowThreads / 32];
  for (int mask = 16; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
  meet_block();  // the sums of a call before have been read
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  meet_block();
  float sum = 0;
  for (int w = 0; w < kRowThreads / 32; ++w) sum += of_warp[w];
  return sum;
}
__device__ __forceinline__ float block_max(float value) {
  __shared__ float of_warp[kRowThreads / 32];
  for (int mask = 16; mask > 0; mask /= 2) value = fmaxf(value, shuffle_xor(value, mask));
  meet_block();
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  meet_block();
  float top = of_warp[0];
  for (int w = 1; w < kRowThreads / 32; ++w) top = fmaxf(top, of_warp[w]);
  return top;
}

template <class Format>
__global__ void embed_kernel(const uint8_t* table, const int32_t* ids, float scale, Rows<float> out) {
  const int64_t t = blockIdx.x;
  for (int64_t c = threadIdx.x; c < out.cols; c += blockDim.x) {
    out.row(t)[c] = weight_at<Format>(table, out.cols, ids[t], c) * scale;
  }
}

__global__ void rms_norm_kernel(Rows<const float> x, const float* weight, float eps, Rows<float> out) {
  const float* in = x.row(blockIdx.x);
  float squares = 0;
  for (int64_t c = threadIdx.x; c < x.cols; c += blockDim.x) squares += in[c] * in[c];
  const float factor = 1.0f / sqrtf(block_sum(squares) / float(x.cols) + eps);
  for (int64_t c = threadIdx.x; c < x.cols; c += blockDim.x) out.row(blockIdx.x)[c] = in[c] * factor * weight[c];
}

__global__ void gated_activation_kernel(Activation act, Rows<float> gate, Rows<const float> up) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x, t = blockIdx.y;
  if (i >= gate.cols) return;
  const float x = gate.row(t)[i];
  // GELU's tanh form (arXiv 1606.08415) is x sigmoid(2 u), which keeps its digits where tanh has lost them.
  const float u = act == Activation::kSilu ? x : 1.5957691216f * (x + 0.044715f * x * x * x);
  const float active = x / (1.0f + expf(-u));
  gate.row(t)[i] = active * up.row(t)[i];
}

__global__ void add_kernel(Rows<float> x, Rows<const float> y) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < x.cols) x.row(blockIdx.y)[i] += y.row(blockIdx.y)[i];
}

// Of slots [first, first + n): cos and sin [n, n_pairs], times `magnitude`. Angles in double: at slot 10^6 a float has
// lost the turn. Few enough that it does not show.
__global__ void rope_table_kernel(const float* inv_freq, int n_pairs, int64_t first, int64_t n, float magnitude,
                                  float* cos_out, float* sin_out) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n * n_pairs) return;
  const double angle = double(first + i / n_pairs) * double(inv_freq[i % n_pairs]);
  cos_out[i] = float(cos(angle) * double(magnitude));
  sin_out[i] = float(sin(angle) * double(magnitude));
}

// One head's pair i rotated by the table's row.
template <class T>
__device__ __forceinline__ void rotate_pair(T* head, int i, int n_pairs, bool halves, float c, float s) {
  T& a = head[halves ? i : 2 * i];
  T& b = head[halves ? i + n_pairs : 2 * i + 1];
  const float x = float(a), y = float(b);
  a = T(x * c - y * s);
  b = T(x * s + y * c);
}

// x [n_tokens, n_heads * head_dim]; block (token, head).
__global__ void rope_kernel(Rows<float> x, int head_dim, int n_pairs, bool halves, const float* cos, const float* sin) {
  const int64_t t = blockIdx.x;
  float* head = x.row(t) + int64_t(blockIdx.y) * head_dim;
  for (int i = int(threadIdx.x); i < n_pairs; i += int(blockDim.x)) {
    rotate_pair(head, i, n_pairs, halves, cos[t * n_pairs + i], sin[t * n_pairs + i]);
  }
}

// Beyond its range F16 would store infinity, and one infinite key poisons a whole row of attention.
__device__ __forceinline__ uint16_t saturated_half(float x) {
  return float_to_half(x != x ? x : fminf(fmaxf(x, -65504.0f), 65504.0f));
}

// Block (token, KV head).
__global__ void store_kv_kernel(Rows<const float> k, Rows<const float> v, int64_t first_slot, KvView kv) {
  const int64_t t = blockIdx.x, h = blockIdx.y;
  for (int64_t d = threadIdx.x; d < kv.head_dim; d += blockDim.x) {
    const int64_t to = (h * kv.capacity + first_slot + t) * kv.head_dim + d, from = h * kv.head_dim + d;
    if (kv.type == KvView::Type::kF32) {
      static_cast<float*>(kv.k)[to] = k.row(t)[from];
      static_cast<float*>(kv.v)[to] = v.row(t)[from];
    } else {
      static_cast<uint16_t*>(kv.k)[to] = saturated_half(k.row(t)[from]);
      static_cast<uint16_t*>(kv.v)[to] = saturated_half(v.row(t)[from]);
    }
  }
}

// Block (KV head, keys or values), a thread per dimension: each moves its own column down, in order, so that nothing is
// overwritten before it has moved.
template <class T>
__global__ void compact_kv_kernel(KvView kv, const int32_t* keep, int64_t n_keep) {
  T* head = static_cast<T*>(blockIdx.y == 0 ? kv.k : kv.v) + int64_t(blockIdx.x) * kv.capacity * kv.head_dim;
  for (int64_t d = threadIdx.x; d < kv.head_dim; d += blockDim.x) {
    for (int64_t to = 0; to < n_keep; ++to) head[to * kv.head_dim + d] = head[keep[to] * kv.head_dim + d];
  }
}

// Block per row.
__global__ void normalise_quantise_kernel(Rows<const float> x, const float* centre, int8_t* q_out, int64_t q_stride,
                                          float* scales_out, int64_t scale_stride) {
  const int64_t t = blockIdx.x;
  const auto value = [&](int64_t d) { return x.row(t)[d] - (centre == nullptr ? 0.0f : centre[d]); };
  float largest = 0;
  bool finite = true;
  for (int64_t d = threadIdx.x; d < x.cols; d += blockDim.x) {
    finite = finite && fabsf(value(d)) <= 3.4e38f;
    largest = fmaxf(largest, fabsf(value(d)));
  }
  largest = block_max(largest);
  finite = block_sum(finite ? 0.0f : 1.0f) == 0;
  const bool zero = !(largest > 0) || !finite;
  float squares = 0;  // of value / largest, so that they cannot overflow
  for (int64_t d = threadIdx.x; d < x.cols; d += blockDim.x) {
    const float part = zero ? 0.0f : value(d) / largest;
    squares += part * part;
    q_out[t * q_stride + d] = int8_t(rintf(part * 127.0f));
  }
  squares = block_sum(squares);
  if (threadIdx.x == 0) scales_out[t * scale_stride] = zero ? 0.0f : 1.0f / (sqrtf(squares) * 127.0f);
}

// A warp per stored row. heads * head_dim bytes are read as words where they are whole words.
__global__ void score_kernel(EmbeddingRows stored, EmbeddingRows query, float* scores) {
  const int64_t i = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  const int lane = int(threadIdx.x % 32);
  if (i >= stored.n_rows) return;  // a whole warp or none of it
  float best = -INFINITY;
  for (int64_t t = 0; t < query.n_rows; ++t) {
    float sum = 0;
    for (int64_t h = 0; h < stored.n_heads; ++h) {
      const int8_t* a = stored.values + (i * stored.n_heads + h) * stored.head_dim;
      const int8_t* b = query.values + (t * query.n_heads + h) * query.head_dim;
      int dot = 0;
      for (int64_t d = lane; d < stored.head_dim; d += 32) dot += int(a[d]) * int(b[d]);
      for (int mask = 16; mask > 0; mask /= 2) dot += shuffle_xor(dot, mask);
      sum += stored.scales[i * stored.n_heads + h] * query.scales[t * query.n_heads + h] * float(dot);
    }
    best = fmaxf(best, sum / float(stored.n_heads));
  }
  if (lane == 0) scores[i] = best;
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
