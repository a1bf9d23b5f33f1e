#include "kernels/cpu/slots.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

namespace reform::cpu {
namespace {

// Ascends with the score. 0 and -0 have the same rank; a NaN has rank 0.
uint32_t rank_of(float score) {
  if (score != score) return 0;
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

// Ranks above `rank` are kept, and the first n_equal ranks that equal it.
struct Threshold {
  uint32_t rank = 0;
  int64_t n_equal = 0;
};

// Finds the rank digit by digit from the top. Each pass takes the scores that share the digits found so far and counts
// how many have each next digit.
Threshold find_threshold(std::span<const float> scores, int64_t n_kept) {
  constexpr int kDigitBits = 8;
  Threshold found{0, n_kept};
  for (int shift = 32 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    std::array<int64_t, 1 << kDigitBits> counts{};
    for (const float score : scores) {
      const uint64_t differs = uint64_t{rank_of(score) ^ found.rank} >> (shift + kDigitBits);
      if (differs == 0) ++counts[rank_of(score) >> shift & (counts.size() - 1)];
    }
    size_t digit = counts.size() - 1;
    while (counts[digit] < found.n_equal) found.n_equal -= counts[digit--];
    found.rank |= uint32_t(digit) << shift;
  }
  return found;
}

}  // namespace

void choose_slots(const KeptSlots& kept, int64_t kv_len, std::span<const float> scores, std::span<int32_t> keep) {
  auto to = keep.begin() + kept.first;
  std::iota(keep.begin(), to, 0);
  if (kept.heaviest > 0) {
    const int64_t end = kv_len - kept.last;
    Threshold least = find_threshold(scores.subspan(size_t(kept.first), size_t(end - kept.first)), kept.heaviest);
    for (int64_t slot = kept.first; slot < end; ++slot) {
      const uint32_t rank = rank_of(scores[size_t(slot)]);
      if (rank > least.rank || (rank == least.rank && least.n_equal-- > 0)) *to++ = int32_t(slot);
    }
  }
  std::iota(to, keep.end(), int32_t(kv_len - kept.last));
}

void compact_scores(std::span<float> scores, std::span<const int32_t> keep) {
  for (size_t to = 0; to < keep.size(); ++to) scores[to] = scores[size_t(keep[to])];
  std::fill(scores.begin() + ptrdiff_t(keep.size()), scores.end(), 0.0f);
}

}  // namespace reform::cpu
