// The cache: storing rows, moving slots to the front, and the form in which attention reads it.
#pragma once

#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/rope.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

__device__ __forceinline__ float to_float(uint16_t h) { return half_to_float(h); }
__device__ __forceinline__ float to_float(float f) { return f; }

// A block per token.
__global__ void store_kv_kernel(Rows<const float> k, Rows<const float> v, int64_t first_slot, KvView kv) {
  const int64_t t = blockIdx.x;
  for (int64_t c = threadIdx.x; c < k.cols; c += blockDim.x) {
    const int64_t h = c / kv.head_dim, to = (h * (kv.capacity - 1) + first_slot + t) * kv.head_dim + c;
    if (kv.type == KvView::Type::kF32) {
      static_cast<float*>(kv.k)[to] = k.row(t)[c];
      static_cast<float*>(kv.v)[to] = v.row(t)[c];
    } else {
      static_cast<uint16_t*>(kv.k)[to] = saturated_half(k.row(t)[c]);
      static_cast<uint16_t*>(kv.v)[to] = saturated_half(v.row(t)[c]);
    }
  }
}

// Slots [first, first + n) of one side of a cache as HalfRows, rotated. A thread per slot and pair, or per slot and
// element outside the pairs. It does all heads, as they turn by the same angle. Limit: the bytes read and written.
template <class T>
__global__ void half_rows_kernel(const T* from, KvView kv, int64_t first, int64_t n, Turns turns, uint16_t* to,
                                 int64_t head_stride, int width) {
  const int n_items = width - turns.n_pairs;
  const int64_t at = int64_t(blockIdx.x) * blockDim.x + threadIdx.x, slot = first + at / n_items;
  const int i = int(at % n_items);
  if (at >= n * n_items) return;
  const bool is_pair = i < turns.n_pairs;
  const CosSin turn = is_pair ? turn_at(turns, i, slot) : CosSin{1, 0};
  const int a = is_pair ? turns.first(i) : turns.n_pairs + i, b = is_pair ? turns.second(i) : a;
  for (int64_t h = 0; h < kv.n_kv_heads; ++h) {
    const T* in = from + (h * kv.capacity + slot) * kv.head_dim;
    uint16_t* out = to + h * head_stride + slot * width;
    const float x = a < kv.head_dim ? to_float(in[a]) : 0.0f;
    if (is_pair) {
      const float y = to_float(in[b]);
      out[a] = saturated_half(x * turn.cos - y * turn.sin);
      out[b] = saturated_half(x * turn.sin + y * turn.cos);
    } else {
      out[a] = saturated_half(x);
    }
  }
}

// Slots move through a staging buffer [sides, heads, n, pieces of a slot], one run of slots at a time. First the whole
// run is read, then it is written. Slots only move down, so a run never overwrites a slot that a later run reads. Grid:
// (pieces of a head, heads, sides). Limit: every byte is read twice and written twice.
struct alignas(16) Piece16 {
  uint32_t words[4];
};

// What moves: a cache's keys and values, or one side of something else. Each side is [n_heads, capacity] slots of
// `pieces` pieces.
struct Slots {
  void* sides[2];
  int64_t n_heads, capacity, pieces;
};

template <class Piece>
struct SlotRun {
  Slots slots;
  const int32_t* keep;  // for slot `first` and those after it
  int64_t first, n;
  Piece* staging;

  __device__ Piece* head() const {
    return static_cast<Piece*>(slots.sides[blockIdx.z]) + int64_t(blockIdx.y) * slots.capacity * slots.pieces;
  }
  __device__ Piece* staged() const {
    return staging + (int64_t(blockIdx.z) * slots.n_heads + blockIdx.y) * n * slots.pieces;
  }
};

template <class Piece>
__global__ void gather_slots_kernel(SlotRun<Piece> run) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= run.n * run.slots.pieces) return;
  run.staged()[i] = run.head()[run.keep[i / run.slots.pieces] * run.slots.pieces + i % run.slots.pieces];
}
template <class Piece>
__global__ void place_slots_kernel(SlotRun<Piece> run) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < run.n * run.slots.pieces) run.head()[run.first * run.slots.pieces + i] = run.staged()[i];
}

__global__ void zero_kernel(float* to, int64_t n) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) to[i] = 0;
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
