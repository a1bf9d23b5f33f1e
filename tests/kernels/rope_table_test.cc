// The table of rotary embedding's cosines and sines.
#include "kernels/cpu/rope_table.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

using namespace reform;
using namespace reform::cpu;

namespace {

std::vector<float> frequencies(size_t n_pairs) {
  std::vector<float> all;
  for (size_t i = 0; i < n_pairs; ++i) all.push_back(float(std::pow(10000.0, -double(i) / double(n_pairs))));
  return all;
}

// A run's cosines, then its sines, pair by pair and slot by slot; by the sums of angles if `sums`.
std::vector<float> plain(const Rope& rope, int64_t first_slot, int64_t n_slots, bool sums) {
  const size_t n_pairs = rope.inv_freq.size();
  std::vector<float> all(size_t(n_slots) * n_pairs * 2);
  for (size_t i = 0; i < n_pairs; ++i) {
    const double f = double(rope.inv_freq[i]), first = double(first_slot) * f, magnitude = double(rope.magnitude);
    for (size_t j = 0; j < size_t(n_slots); ++j) {
      const double rest = double(j) * f, angle = double(first_slot + int64_t(j)) * f;
      const double c = sums ? std::cos(first) * std::cos(rest) - std::sin(first) * std::sin(rest) : std::cos(angle);
      const double s = sums ? std::sin(first) * std::cos(rest) + std::cos(first) * std::sin(rest) : std::sin(angle);
      all[j * n_pairs + i] = float(c * magnitude);
      all[(size_t(n_slots) + j) * n_pairs + i] = float(s * magnitude);
    }
  }
  return all;
}

}  // namespace

TEST_CASE("rope table: a run's cosines and sines are those of the formula, to the bit", "[kernels][rope]") {
  for (const size_t n_pairs : {1, 5, 32, 33, 64, 79}) {
    const std::vector<float> inv_freq = frequencies(n_pairs);
    const Rope rope{.inv_freq = inv_freq, .magnitude = 1.1f};
    for (const bool prepared : {true, false}) {
      RopeTable table(128);
      if (prepared) table.prepare(rope);
      for (const int64_t first_slot : {0, 1, 63, 4096, 1000003}) {
        for (const int64_t n_slots : {1, 2, 63, 64}) {
          CAPTURE(n_pairs, prepared, first_slot, n_slots);
          std::vector<float> got(size_t(n_slots) * n_pairs * 2);
          table.fill(rope, first_slot, n_slots, got.data(), got.data() + size_t(n_slots) * n_pairs);
          CHECK((got == plain(rope, first_slot, n_slots, prepared && n_slots > 1)));
        }
      }
    }
  }
}
