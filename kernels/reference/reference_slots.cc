#include "kernels/reference/reference_slots.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>
#include <vector>

#include "base/float16.h"

namespace reform::reference {
namespace {

using Ring = std::deque<int32_t>;  // slots, the oldest first

// The token in `slot`, the `number`-th behind the sinks, goes into ring 0. n_slots: of all rings.
void insert(std::vector<Ring>& rings, int64_t n_slots, int64_t number, int32_t slot, std::span<const float> scores) {
  for (size_t i = 0; i < rings.size(); ++i) {
    Ring& ring = rings[i];
    if (number > n_slots && number % (int64_t(1) << i) != 0) {
      if (scores[size_t(slot)] >= scores[size_t(ring.back())]) ring.back() = slot;
      return;
    }
    ring.push_back(slot);
    slot = ring.front();
    ring.pop_front();
  }
}

// One slot of a cache, widened: the key, then the value.
using Row = std::vector<double>;

class Rows {
 public:
  explicit Rows(const KvView& kv) : kv_(kv) {}

  Row read(int64_t slot) const {
    Row row(size_t(2 * kv_.head_dim));
    for (int64_t i = 0; i < 2 * kv_.head_dim; ++i) row[size_t(i)] = read(slot, i);
    return row;
  }
  void write(int64_t slot, const Row& row) const {
    for (int64_t i = 0; i < 2 * kv_.head_dim; ++i) {
      if (kv_.type == KvView::Type::kF32) {
        static_cast<float*>(base(i))[at(slot, i)] = float(row[size_t(i)]);
      } else {
        static_cast<uint16_t*>(base(i))[at(slot, i)] = f32_to_f16(float(row[size_t(i)]));
      }
    }
  }

 private:
  void* base(int64_t i) const { return i < kv_.head_dim ? kv_.k : kv_.v; }
  int64_t at(int64_t slot, int64_t i) const { return slot * kv_.head_dim + i % kv_.head_dim; }
  double read(int64_t slot, int64_t i) const {
    return kv_.type == KvView::Type::kF32 ? double(static_cast<const float*>(base(i))[at(slot, i)])
                                          : double(f16_to_f32(static_cast<const uint16_t*>(base(i))[at(slot, i)]));
  }
  const KvView& kv_;
};

// The row whose key has the largest dot product with that of `row`.
size_t nearest(const std::vector<Row>& rows, const Row& row) {
  const auto likeness = [&](const Row& other) {
    return std::inner_product(row.begin(), row.begin() + ptrdiff_t(row.size() / 2), other.begin(), 0.0);
  };
  size_t best = 0;
  for (size_t i = 1; i < rows.size(); ++i)
    if (likeness(rows[i]) > likeness(rows[best])) best = i;
  return best;
}

}  // namespace

void choose_cascade(const Cascade& cascade, int64_t kv_len, std::span<const float> scores, std::span<int32_t> keep) {
  const int64_t n_kept = int64_t(keep.size()), n_slots = n_kept - cascade.sinks, ring_slots = n_slots / cascade.n_rings;
  std::iota(keep.begin(), keep.end(), 0);
  std::vector<Ring> rings(size_t(cascade.n_rings));
  int64_t end = n_kept;
  for (int64_t i = 0; i < cascade.n_rings; ++i) {
    const int64_t begin = cascade.sinks + (cascade.n_rings - 1 - i) * ring_slots;
    rings[size_t(i)].assign(keep.begin() + begin, keep.begin() + end);
    end = begin;
  }
  for (int64_t slot = n_kept; slot < kv_len; ++slot)
    insert(rings, n_slots, cascade.n_seen - kv_len + slot - cascade.sinks, int32_t(slot), scores);
  auto to = keep.begin() + cascade.sinks;
  for (auto ring = rings.rbegin(); ring != rings.rend(); ++ring) to = std::copy(ring->begin(), ring->end(), to);
}

void merge_kv(const KvView& kv, bool has_merged, std::span<const int32_t> singles, std::span<float> weights,
              std::span<float> bias) {
  const Rows cache(kv);
  const size_t n_merged = weights.size(), first = has_merged ? n_merged : 0;
  std::vector<Row> before, kept, dropped;
  for (size_t i = 0; i < first; ++i) before.push_back(cache.read(int64_t(i)));
  auto single = singles.begin();
  for (int64_t slot = int64_t(first); slot < kv.kv_len; ++slot) {
    const bool stays = single != singles.end() && *single == slot - int64_t(first);
    (stays ? kept : dropped).push_back(cache.read(slot));
    if (stays) ++single;
  }

  std::vector<Row> sums(n_merged, Row(size_t(2 * kv.head_dim)));
  std::vector<double> n_tokens(n_merged);
  const auto add = [&](size_t to, const Row& row, double weight) {
    n_tokens[to] += weight;
    for (size_t i = 0; i < row.size(); ++i) sums[to][i] += weight * row[i];
  };
  for (size_t i = 0; i < first; ++i) add(i, before[i], double(weights[i]));
  const size_t run = dropped.size() / n_merged, n_longer = dropped.size() % n_merged;
  for (size_t i = 0; i < dropped.size(); ++i) {
    const size_t in_longer = n_longer * (run + 1);
    const size_t to = has_merged      ? nearest(before, dropped[i])
                      : i < in_longer ? i / (run + 1)
                                      : n_longer + (i - in_longer) / run;
    add(to, dropped[i], 1);
  }
  for (size_t i = 0; i < n_merged; ++i) {
    for (double& x : sums[i]) x /= n_tokens[i];
    cache.write(int64_t(i), sums[i]);
    weights[i] = float(n_tokens[i]);
    bias[i] = float(std::log(n_tokens[i]));
  }
  for (size_t i = 0; i < kept.size(); ++i) cache.write(int64_t(n_merged + i), kept[i]);
}

}  // namespace reform::reference
