#include "kernels/cpu/rope_table.h"

#include <algorithm>
#include <cmath>

namespace reform::cpu {

RopeTable::RopeTable(int64_t max_pairs) : max_pairs_(max_pairs) {
  for (Steps& steps : steps_) {
    steps.inv_freq.resize(size_t(max_pairs));
    steps.cos.resize(size_t(max_pairs * kRun));
    steps.sin.resize(size_t(max_pairs * kRun));
  }
}

const RopeTable::Steps* RopeTable::find(const Rope& rope) const {
  for (const Steps& steps : steps_) {
    if (steps.n_pairs == int64_t(rope.inv_freq.size()) &&
        std::equal(rope.inv_freq.begin(), rope.inv_freq.end(), steps.inv_freq.begin())) {
      return &steps;
    }
  }
  return nullptr;
}

void RopeTable::prepare(const Rope& rope) {
  const int64_t n_pairs = int64_t(rope.inv_freq.size());
  if (n_pairs > max_pairs_ || find(rope) != nullptr) return;
  Steps& steps = steps_[oldest_];
  oldest_ ^= 1;
  steps.n_pairs = n_pairs;
  std::copy(rope.inv_freq.begin(), rope.inv_freq.end(), steps.inv_freq.begin());
  for (int64_t j = 0; j < kRun; ++j) {
    for (int64_t i = 0; i < n_pairs; ++i) {
      const double angle = double(j) * double(rope.inv_freq[size_t(i)]);
      steps.cos[size_t(j * n_pairs + i)] = std::cos(angle);
      steps.sin[size_t(j * n_pairs + i)] = std::sin(angle);
    }
  }
}

void RopeTable::fill(const Rope& rope, int64_t first_slot, int64_t n_slots, float* cos, float* sin) const {
  const int64_t n_pairs = int64_t(rope.inv_freq.size());
  const double magnitude = double(rope.magnitude);
  const Steps* steps = n_slots > 1 ? find(rope) : nullptr;
  for (int64_t i = 0; i < n_pairs; ++i) {
    const double frequency = double(rope.inv_freq[size_t(i)]);
    const double c = std::cos(double(first_slot) * frequency), s = std::sin(double(first_slot) * frequency);
    for (int64_t j = 0; j < n_slots; ++j) {
      const int64_t to = j * n_pairs + i;
      if (steps != nullptr) {
        const double cj = steps->cos[size_t(to)], sj = steps->sin[size_t(to)];
        cos[to] = float((c * cj - s * sj) * magnitude);
        sin[to] = float((s * cj + c * sj) * magnitude);
      } else {
        const double angle = double(first_slot + j) * frequency;
        cos[to] = float(std::cos(angle) * magnitude);
        sin[to] = float(std::sin(angle) * magnitude);
      }
    }
  }
}

}  // namespace reform::cpu
