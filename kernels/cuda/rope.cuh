// Rotary position embedding. Each kernel computes the cosines that it needs: there is no table, and a step of one token
// copies nothing.
#pragma once

#include "base/try.h"
#include "kernels/cuda/port.h"
#include "kernels/ops.h"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

constexpr int kMaxPairs = 128;

// A Rope that a kernel takes by value. Without pairs nothing is rotated.
struct Turns {
  int n_pairs = 0;
  bool halves = true;
  float magnitude = 1;
  float inv_freq[kMaxPairs];

  // Where pair i's two values lie in a head.
  __device__ int first(int i) const { return halves ? i : 2 * i; }
  __device__ int second(int i) const { return halves ? i + n_pairs : 2 * i + 1; }
};

inline Turns turns_of(const Rope* rope) {
  Turns t;
  if (rope == nullptr) return t;
  CHECK(rope->inv_freq.size() <= size_t(kMaxPairs));
  t.n_pairs = int(rope->inv_freq.size());
  t.halves = rope->pairing == Rope::Pairing::kHalves;
  t.magnitude = rope->magnitude;
  REFORM_UNROLL
  for (int i = 0; i < t.n_pairs; ++i) t.inv_freq[i] = rope->inv_freq[size_t(i)];
  return t;
}

// Cosine and sine of pair i at a slot, times the magnitude. The angle is reduced to a quarter turn in double, because
// at slot 10^6 a float has lost it. The rest is at most an eighth of a turn, which a float holds.
struct CosSin {
  float cos, sin;
};
__device__ __forceinline__ CosSin turn_at(const Turns& turns, int i, int64_t slot) {
  constexpr double kQuarter = 1.5707963267948966;
  const double quarters = double(slot) * double(turns.inv_freq[i]) * (1 / kQuarter), whole = rint(quarters);
  const float rest = float((quarters - whole) * kQuarter), of_turn = float(whole - 4 * floor(whole / 4));
  const float c = cosf(rest) * turns.magnitude, s = sinf(rest) * turns.magnitude;
  if (of_turn == 1) return {-s, c};
  if (of_turn == 2) return {-c, -s};
  if (of_turn == 3) return {s, -c};
  return {c, s};
}

constexpr int kRopeThreads = 64, kRopeHeads = 4;

// x [n_tokens, n_heads * head_dim] in place. Grid: (tokens, groups of kRopeHeads heads); a thread per pair.
__global__ void rope_kernel(float* x, int64_t stride, int n_heads, int head_dim, Turns turns, int64_t first_slot) {
  float* row = x + int64_t(blockIdx.x) * stride;
  const int first_head = int(blockIdx.y) * kRopeHeads;
  for (int i = int(threadIdx.x); i < turns.n_pairs; i += kRopeThreads) {
    const CosSin turn = turn_at(turns, i, first_slot + blockIdx.x);
    float a[kRopeHeads] = {}, b[kRopeHeads] = {};  // all are read before any is written, to wait for memory once
    REFORM_UNROLL
    for (int h = 0; h < kRopeHeads; ++h) {
      const float* head = row + int64_t(first_head + h) * head_dim;
      if (first_head + h < n_heads) a[h] = head[turns.first(i)], b[h] = head[turns.second(i)];
    }
    REFORM_UNROLL
    for (int h = 0; h < kRopeHeads; ++h) {
      float* head = row + int64_t(first_head + h) * head_dim;
      if (first_head + h >= n_heads) continue;
      head[turns.first(i)] = a[h] * turn.cos - b[h] * turn.sin;
      head[turns.second(i)] = a[h] * turn.sin + b[h] * turn.cos;
    }
  }
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
