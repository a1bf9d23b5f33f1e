// Cosines and sines of rotary embedding, accurate at any slot: angles and their sums in double.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ops.h"

namespace reform::cpu {

// Within a run of slots, e^(i (first + j) f) = e^(i first f) e^(i j f). The table keeps the second factors for the
// ropes used last (gemma3 alternates between two), so that a run costs one sine per pair instead of one per pair and
// slot.
class RopeTable {
 public:
  static constexpr int64_t kRun = 64;  // slots per run

  explicit RopeTable(int64_t max_pairs);

  // Call it before fill() of long runs, outside of threads. It does not allocate for up to max_pairs pairs.
  void prepare(const Rope& rope);
  // cos and sin [n_slots, n_pairs] of slots [first_slot, first_slot + n_slots), times the magnitude; n_slots <= kRun.
  // Several threads may call it.
  void fill(const Rope& rope, int64_t first_slot, int64_t n_slots, float* cos, float* sin) const;

 private:
  struct Steps {
    std::vector<float> inv_freq;
    std::vector<double> cos, sin;  // [kRun, n_pairs]
    int64_t n_pairs = 0;
  };
  const Steps* find(const Rope& rope) const;

  int64_t max_pairs_;
  Steps steps_[2];
  int oldest_ = 0;
};

}  // namespace reform::cpu
