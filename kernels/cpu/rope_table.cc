#include "kernels/cpu/rope_table.h"

#include <algorithm>
#include <cmath>

namespace reform::cpu {
namespace {

void fill_slot(const Rope& rope, int64_t slot, float* cos, float* sin) {
  for (size_t i = 0; i < rope.inv_freq.size(); ++i) {
    const double angle = double(slot) * double(rope.inv_freq[i]);
    cos[i] = float(std::cos(angle) * double(rope.magnitude));
    sin[i] = float(std::sin(angle) * double(rope.magnitude));
  }
}

}  // namespace

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
  const Steps* steps = n_slots > 1 ? find(rope) : nullptr;
  if (steps == nullptr) {
    for (int64_t j = 0; j < n_slots; ++j) fill_slot(rope, first_slot + j, cos + j * n_pairs, sin + j * n_pairs);
    return;
  }
  constexpr int64_t kPairs = 32;
  const double magnitude = double(rope.magnitude);
  for (int64_t first = 0; first < n_pairs; first += kPairs) {
    const int64_t n = std::min(kPairs, n_pairs - first);
    double c[kPairs], s[kPairs];
    for (int64_t i = 0; i < n; ++i) {
      const double angle = double(first_slot) * double(rope.inv_freq[size_t(first + i)]);
      c[i] = std::cos(angle), s[i] = std::sin(angle);
    }
    for (int64_t j = 0; j < n_slots; ++j) {
      const int64_t to = j * n_pairs + first;
      const double *const cj = steps->cos.data() + to, *const sj = steps->sin.data() + to;
      // A loop each, so that the compiler makes vectors of both.
      for (int64_t i = 0; i < n; ++i) cos[to + i] = float((c[i] * cj[i] - s[i] * sj[i]) * magnitude);
      for (int64_t i = 0; i < n; ++i) sin[to + i] = float((s[i] * cj[i] + c[i] * sj[i]) * magnitude);
    }
  }
}

}  // namespace reform::cpu
