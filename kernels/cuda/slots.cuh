// Chooses the slots of a cache that are kept, in one block and without the host. It reads some ten thousand scores 33
// times, all but once from the chip's own caches: an estimated 30 microseconds a layer and chunk (not measured).
#pragma once

#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/port.h"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

constexpr int kSlotThreads = kOnChip ? 1024 : 96, kSlotWarps = kSlotThreads / 32;

// Ascends with the score. 0 and -0 have the same rank; a NaN has rank 0.
__device__ __forceinline__ uint32_t rank_of(float score) {
  if (score != score) return 0;
  const uint32_t bits = float_to_bits(score + 0.0f);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float score_of(uint32_t rank) {
  return bits_to_float((rank & 0x80000000u) != 0 ? rank & 0x7fffffffu : ~rank);
}

// How many slots of [begin, end) have a rank >= `least`.
__device__ __forceinline__ int count_from(const float* scores, int begin, int end, uint32_t least) {
  int n = 0;
  for (int slot = begin + int(threadIdx.x); slot < end; slot += kSlotThreads) n += rank_of(scores[slot]) >= least;
  return block_sum<kSlotThreads>(n);
}

// The highest rank for which reaches(rank) is true, found bit by bit. reaches(0) must be true, and so must reaches() of
// every rank below one that reaches.
template <class Reaches>
__device__ __forceinline__ uint32_t highest_rank(Reaches reaches) {
  uint32_t rank = 0;
  for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
    if (reaches(rank | bit)) rank |= bit;
  }
  return rank;
}
// The highest rank that at least `n` of the scores reach.
__device__ __forceinline__ uint32_t rank_reached(const float* scores, int begin, int end, int n) {
  return highest_rank([&](uint32_t rank) { return count_from(scores, begin, end, rank) >= n; });
}

// A warp's share of the slots; shares follow the warps' order. Every share but the last begins and ends at a multiple
// of 32 from `begin`.
struct Neighbours {
  int begin, end;
};
__device__ __forceinline__ Neighbours neighbours_of(int begin, int end, int warp) {
  const int n = ((end - begin + kSlotWarps - 1) / kSlotWarps + 31) / 32 * 32;
  return {begin + warp * n, min(end, begin + (warp + 1) * n)};
}

__global__ void __launch_bounds__(kSlotThreads)
    choose_slots_kernel(const float* scores, int kv_len, int n_first, int n_heaviest, int n_last, int32_t* keep) {
  const int thread = int(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const int begin = n_first, end = kv_len - n_last;
  for (int i = thread; i < n_first; i += kSlotThreads) keep[i] = i;
  for (int i = thread; i < n_last; i += kSlotThreads) keep[n_first + n_heaviest + i] = end + i;
  if (n_heaviest == 0) return;

  // Slots above this rank are kept, and so are the first that equal it.
  const uint32_t least = rank_reached(scores, begin, end, n_heaviest);
  // Each warp counts its slots before it knows where they go.
  const Neighbours mine = neighbours_of(begin, end, warp);
  __shared__ int n_above_of[kSlotWarps], n_equal_of[kSlotWarps];
  int n_above = 0, n_equal = 0;
  for (int first = mine.begin; first < mine.end; first += 32) {
    const uint32_t rank = first + lane < mine.end ? rank_of(scores[first + lane]) : 0;
    n_above += count_bits(ballot(first + lane < mine.end && rank > least));
    n_equal += count_bits(ballot(first + lane < mine.end && rank == least));
  }
  if (lane == 0) n_above_of[warp] = n_above, n_equal_of[warp] = n_equal;
  meet_block();
  int above = 0, equal = 0, n_equal_kept = n_heaviest;
  for (int w = 0; w < kSlotWarps; ++w) {
    if (w < warp) above += n_above_of[w], equal += n_equal_of[w];
    n_equal_kept -= n_above_of[w];
  }
  const uint32_t lower_lanes = (1u << lane) - 1;
  for (int first = mine.begin; first < mine.end; first += 32) {
    const bool is_slot = first + lane < mine.end;
    const uint32_t rank = is_slot ? rank_of(scores[first + lane]) : 0;
    const uint32_t all_above = ballot(is_slot && rank > least), all_equal = ballot(is_slot && rank == least);
    const int above_before = above + count_bits(all_above & lower_lanes);
    const int equal_before = equal + count_bits(all_equal & lower_lanes);
    if (is_slot && (rank > least || (rank == least && equal_before < n_equal_kept)))
      keep[n_first + above_before + min(equal_before, n_equal_kept)] = first + lane;
    above += count_bits(all_above), equal += count_bits(all_equal);
  }
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
