#include "kernels/cpu/slots.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

#include "base/try.h"

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

// The rings lie in `keep` as circular buffers, until they are turned to begin with their oldest slot.
void choose_cascade(const Cascade& cascade, int64_t kv_len, std::span<const float> scores, std::span<int32_t> keep) {
  constexpr size_t kMaxRings = 32;
  struct Ring {
    std::span<int32_t> slots;
    size_t oldest = 0;
  };
  std::array<Ring, kMaxRings> rings;
  const size_t n_rings = size_t(cascade.n_rings), sinks = size_t(cascade.sinks), n_kept = keep.size();
  CHECK(n_rings >= 1 && n_rings <= kMaxRings && sinks + n_rings <= n_kept);
  const size_t ring_slots = (n_kept - sinks) / n_rings;
  for (size_t i = 0; i < n_rings; ++i) {
    const auto from_oldest = keep.subspan(sinks + (n_rings - 1 - i) * ring_slots);
    rings[i].slots = i == 0 ? from_oldest : from_oldest.first(ring_slots);
  }
  std::iota(keep.begin(), keep.end(), 0);
  for (int64_t slot = int64_t(n_kept); slot < kv_len; ++slot) {
    const int64_t number = cascade.n_seen - kv_len + slot - cascade.sinks;
    const bool fills = number <= int64_t(n_kept - sinks);
    auto moving = int32_t(slot);
    for (size_t i = 0; i < n_rings; ++i) {
      auto& [slots, oldest] = rings[i];
      if (!fills && (number & ((int64_t(1) << i) - 1)) != 0) {
        int32_t& newest = slots[oldest == 0 ? slots.size() - 1 : oldest - 1];
        if (scores[size_t(moving)] >= scores[size_t(newest)]) newest = moving;
        break;
      }
      std::swap(moving, slots[oldest]);
      oldest = oldest + 1 == slots.size() ? 0 : oldest + 1;
    }
  }
  for (size_t i = 0; i < n_rings; ++i)
    std::rotate(rings[i].slots.begin(), rings[i].slots.begin() + ptrdiff_t(rings[i].oldest), rings[i].slots.end());
}

void compact_scores(std::span<float> scores, std::span<const int32_t> keep) {
  for (size_t to = 0; to < keep.size(); ++to) scores[to] = scores[size_t(keep[to])];
  std::fill(scores.begin() + ptrdiff_t(keep.size()), scores.end(), 0.0f);
}

}  // namespace reform::cpu
