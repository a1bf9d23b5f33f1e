#include "kernels/reference/reference_slots.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/float16.h"

namespace reform::reference {
namespace {

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
