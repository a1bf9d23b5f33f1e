// Ops::draw by one block. Every filter keeps the logits above some rank and the first few that equal it, so it only has
// to find that rank, bit by bit. Weights are integers, 2^40 for the best logit, so their sums are the same in any
// order. Limit: some 70 reads of the logits from the chip's own caches, an estimated half millisecond for 128k (not
// measured).
#pragma once

#include "kernels/cuda/slots.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

// The logits whose rank is above `least` are kept, and the first n_equal of those with that rank.
struct KeptRanks {
  uint32_t least;
  int n_equal;
};

// The best logit and its weight, small enough that the sum of all weights is below 2^64.
struct Best {
  float logit, weight;
};
__device__ __forceinline__ float weight_of_best(int n) { return n <= 1 << 23 ? 1099511627776.0f : 4294967296.0f; }
__device__ __forceinline__ uint64_t likelihood(float logit, Best best, float temperature) {
  const float share = logit == best.logit ? 1.0f : expf((logit - best.logit) / temperature);
  return uint64_t(share * best.weight);
}

// The sum of the weights of all logits whose rank is at least `least`.
__device__ __forceinline__ uint64_t weigh_from(const float* logits, int n, uint32_t least, Best best) {
  uint64_t sum = 0;
  for (int i = int(threadIdx.x); i < n; i += kSlotThreads)
    if (rank_of(logits[i]) >= least) sum += likelihood(logits[i], best, 1);
  return block_sum<kSlotThreads>(sum);
}

__device__ __forceinline__ KeptRanks keep_top_k(const float* logits, int n, int64_t k) {
  const uint32_t none = rank_of(-INFINITY);  // only NaN ranks below it
  if (k == 0 || k >= count_from(logits, 0, n, none + 1)) return {none, 0};
  const uint32_t least = rank_reached(logits, 0, n, int(k));
  return {least, int(k) - count_from(logits, 0, n, least + 1)};
}

// Of the kept logits, the fewest best whose weights reach top_p of the total; at least one.
__device__ __forceinline__ KeptRanks keep_top_p(const float* logits, int n, KeptRanks kept, Best best, double top_p) {
  const uint64_t of_equals = kept.n_equal * likelihood(score_of(kept.least), best, 1);
  const uint64_t total = weigh_from(logits, n, kept.least + 1, best) + of_equals;
  uint64_t wanted = uint64_t(ceil(top_p * double(total)));
  wanted = wanted == 0 ? 1 : wanted > total ? total : wanted;
  const uint32_t least =
      highest_rank([&](uint32_t rank) { return rank <= kept.least || weigh_from(logits, n, rank, best) >= wanted; });
  const uint64_t above = weigh_from(logits, n, least + 1, best), each = likelihood(score_of(least), best, 1);
  return {least, int((wanted - above + each - 1) / each)};
}

__device__ __forceinline__ KeptRanks keep_min_p(KeptRanks kept, Best best, double min_p) {
  const uint32_t least = rank_of(best.logit + logf(float(min_p)));
  return least > kept.least ? KeptRanks{least - 1, 0} : kept;
}

// The weight of a lane's `logit`. `equal_before`: how many logits of the least rank come before its warp's.
struct Weighed {
  uint64_t weight;
  int n_equal;  // the warp's logits of the least rank
};
__device__ __forceinline__ Weighed weigh_lane(float logit, KeptRanks kept, int equal_before, Best best,
                                              float temperature) {
  const uint32_t rank = rank_of(logit), equals = ballot(rank == kept.least);
  const int before = equal_before + count_bits(equals & ((1u << threadIdx.x % 32) - 1));
  const bool is_kept = rank > kept.least || (rank == kept.least && before < kept.n_equal);
  return {is_kept ? likelihood(logit, best, temperature) : 0, count_bits(equals)};
}

__global__ void __launch_bounds__(kSlotThreads) draw_kernel(const float* logits, int n, Draw draw, int32_t* id) {
  const int thread = int(threadIdx.x), warp = thread / 32, lane = thread % 32;
  float largest = -INFINITY;
  for (int i = thread; i < n; i += kSlotThreads)
    largest = fmaxf(largest, logits[i]);  // fmaxf of a NaN and a number is the number
  const Best best{block_max<kSlotThreads>(largest), weight_of_best(n)};
  KeptRanks kept{rank_of(best.logit), 1};
  if (fabsf(best.logit) < INFINITY) {
    kept = keep_top_k(logits, n, draw.top_k);
    if (draw.top_p < 1) kept = keep_top_p(logits, n, kept, best, draw.top_p);
    if (draw.min_p > 0) kept = keep_min_p(kept, best, draw.min_p);
  } else if (best.logit < 0) {  // no logit is above -infinity
    if (thread == 0) *id = 0;
    return;
  }

  // Each warp weighs a run of logits. The warp whose share holds the drawn weight then finds the logit.
  __shared__ int equal_of[kSlotWarps];
  __shared__ uint64_t sum_of[kSlotWarps];
  const Neighbours mine = neighbours_of(0, n, warp);
  const auto logit_at = [&](int i) { return i < mine.end ? logits[i] : NAN; };
  int n_equal = 0;
  for (int first = mine.begin; first < mine.end; first += 32)
    n_equal += count_bits(ballot(rank_of(logit_at(first + lane)) == kept.least));
  if (lane == 0) equal_of[warp] = n_equal;
  meet_block();
  int equal_before = 0;
  for (int w = 0; w < warp; ++w) equal_before += equal_of[w];
  uint64_t sum = 0;
  int seen = equal_before;
  for (int first = mine.begin; first < mine.end; first += 32) {
    const Weighed w = weigh_lane(logit_at(first + lane), kept, seen, best, float(draw.temperature));
    sum += w.weight, seen += w.n_equal;
  }
  for (int mask = 16; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
  if (lane == 0) sum_of[warp] = sum;
  meet_block();
  uint64_t total = 0, before = 0;
  for (int w = 0; w < kSlotWarps; ++w) {
    if (w < warp) before += sum_of[w];
    total += sum_of[w];
  }
  uint64_t drawn = uint64_t(draw.uniform * double(total));
  if (drawn >= total) drawn = total - 1;
  if (drawn < before || drawn >= before + sum) return;

  seen = equal_before;
  for (int first = mine.begin; first < mine.end; first += 32) {
    const Weighed w = weigh_lane(logit_at(first + lane), kept, seen, best, float(draw.temperature));
    seen += w.n_equal;
    uint64_t all = w.weight, below = 0;  // the warp's sum; the sum of the lanes before this one
    for (int mask = 1; mask < 32; mask *= 2) {
      const uint64_t other = shuffle_xor(all, mask);
      if ((lane & mask) != 0) below += other;
      all += other;
    }
    if (drawn >= before + below && drawn < before + below + w.weight) *id = first + lane;
    before += all;
  }
}

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
