// The ops without matrix products. One thread per element or pair; one block per row where a row is summed.
#pragma once

#include "kernels/cuda/narrow.cuh"
#include "kernels/cuda/rows.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

constexpr int kRowThreads = 256;

// The sum of every thread's value, for all kThreads of the block, added in the same order in every block.
template <int kThreads = kRowThreads, class T>
__device__ __forceinline__ T block_sum(T value) {
  __shared__ T of_warp[kThreads / 32];
  for (int mask = 16; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
  meet_block();  // all threads have read the last call's sums
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  meet_block();
  T sum = 0;
  for (int w = 0; w < kThreads / 32; ++w) sum += of_warp[w];
  return sum;
}
template <int kThreads = kRowThreads>
__device__ __forceinline__ float block_max(float value) {
  __shared__ float of_warp[kThreads / 32];
  for (int mask = 16; mask > 0; mask /= 2) value = fmaxf(value, shuffle_xor(value, mask));
  meet_block();
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  meet_block();
  float top = of_warp[0];
  for (int w = 1; w < kThreads / 32; ++w) top = fmaxf(top, of_warp[w]);
  return top;
}

// A few ids fit into the launch's arguments, so that a step of one token copies nothing from the host.
constexpr int kFewIds = 8;
struct Ids {
  const int32_t* of_device;  // or nullptr
  int32_t few[kFewIds];
};

// out is [n_tokens, d_model].
template <class Format>
__global__ void embed_kernel(const uint8_t* table, Ids ids, float scale, Rows<float> out) {
  const int64_t t = blockIdx.x, id = ids.of_device == nullptr ? ids.few[t] : ids.of_device[t];
  const uint8_t* row = table + id * (out.cols / Format::kElems) * Format::kBytes;
  if constexpr (Format::kIsFloat) {
    for (int64_t c = threadIdx.x; c < out.cols; c += blockDim.x) {
      out.row(t)[c] = float_at<Format>(row + c * Format::kBytes) * scale;
    }
  } else {
    for (int64_t i = threadIdx.x; i < out.cols / (kRun * Format::kRuns); i += blockDim.x) {
      const int unit = int(i % Format::kUnits);
      typename Format::UnitOf u;
      Format::template unpack<2>(row + i / Format::kUnits * Format::kBytes, unit, u);
      for (int j = 0; j < Format::kRuns; ++j) {
        float* to = out.row(t) + i / Format::kUnits * Format::kElems + Format::first(unit, j);
        for (int k = 0; k < kRun; ++k) to[k] = weight_of<Format>(u, j, k) * scale;
      }
    }
  }
}

// Grid: (rows, groups of columns).
__global__ void narrow_kernel(Rows<const float> x, Narrow out) {
  const int64_t t = blockIdx.x, c = int64_t(blockIdx.y) * blockDim.x + threadIdx.x;
  write_narrow(out, t, c, c < x.cols ? x.row(t)[c] : 0.0f);
}

// A block per row. Whole warps go over all columns that `narrow` has.
__global__ void rms_norm_kernel(Rows<const float> x, const float* weight, float eps, Rows<float> out, Narrow narrow) {
  const float* in = x.row(blockIdx.x);
  float squares = 0;
  for (int64_t c = threadIdx.x; c < x.cols; c += blockDim.x) squares += in[c] * in[c];
  const float factor = 1.0f / sqrtf(block_sum(squares) / float(x.cols) + eps);
  for (int64_t c = threadIdx.x; c < x.cols + threadIdx.x % 32; c += blockDim.x) {
    const float value = c < x.cols ? in[c] * factor * weight[c] : 0.0f;
    if (c < x.cols) out.row(blockIdx.x)[c] = value;
    write_narrow(narrow, blockIdx.x, c, value);
  }
}

// Grid: (rows, groups of columns).
__global__ void gated_activation_kernel(Activation act, Rows<float> gate, Rows<const float> up, Narrow narrow) {
  const int64_t t = blockIdx.x, i = int64_t(blockIdx.y) * blockDim.x + threadIdx.x;
  float value = 0;
  if (i < gate.cols) {
    const float x = gate.row(t)[i];
    // GELU's tanh form (arXiv 1606.08415) is x sigmoid(2 u), which keeps digits that 1 + tanh would cancel.
    const float u = act == Activation::kSilu ? x : 1.5957691216f * (x + 0.044715f * x * x * x);
    const float active = x / (1.0f + expf(-u));
    value = gate.row(t)[i] = active * up.row(t)[i];
  }
  write_narrow(narrow, t, i, value);
}

__global__ void add_kernel(Rows<float> x, Rows<const float> y) {
  const int64_t i = int64_t(blockIdx.y) * blockDim.x + threadIdx.x;
  if (i < x.cols) x.row(blockIdx.x)[i] += y.row(blockIdx.x)[i];
}

// A block per row.
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
  float squares = 0;  // of value / largest, so that the squares cannot overflow
  for (int64_t d = threadIdx.x; d < x.cols; d += blockDim.x) {
    const float part = zero ? 0.0f : value(d) / largest;
    squares += part * part;
    q_out[t * q_stride + d] = int8_t(rintf(part * 127.0f));
  }
  squares = block_sum(squares);
  if (threadIdx.x == 0) scales_out[t * scale_stride] = zero ? 0.0f : 1.0f / (sqrtf(squares) * 127.0f);
}

// A warp per stored row. The row stays in the L1 cache for all queries.
__global__ void score_kernel(EmbeddingRows stored, EmbeddingRows query, float* scores) {
  const int64_t i = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  const int lane = int(threadIdx.x % 32);
  if (i >= stored.n_rows) return;  // true for whole warps only
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

// The ends of some neighbouring segments fit into a launch's arguments (kPassedWords in words.cuh), so that the device
// needs no copy of them. Emulation carries fewer, so that tests have several launches.
constexpr int kPassedSegments = kOnChip ? 900 : 3;
struct Segments {
  int32_t n, begin;  // begin: the first one's
  int32_t end[kPassedSegments];
};

// A thread per best [segments.n, n_heads, n_query].
__global__ void best_cosines_kernel(EmbeddingRows stored, EmbeddingRows query, Segments segments, float* best) {
  const int64_t out = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t t = out % query.n_rows, h = out / query.n_rows % stored.n_heads,
                s = out / query.n_rows / stored.n_heads;
  if (s >= segments.n) return;
  const int8_t* b = query.values + (t * query.n_heads + h) * query.head_dim;
  const float query_scale = query.scales[t * query.n_heads + h];
  float largest = -INFINITY;
  for (int64_t i = s == 0 ? segments.begin : segments.end[s - 1]; i < segments.end[s]; ++i) {
    const int8_t* a = stored.values + (i * stored.n_heads + h) * stored.head_dim;
    int dot = 0;
    for (int64_t d = 0; d < stored.head_dim; ++d) dot += int(a[d]) * int(b[d]);
    largest = fmaxf(largest, stored.scales[i * stored.n_heads + h] * query_scale * float(dot));
  }
  best[out] = largest;
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
