#include "runtime/model/weights/plan.h"

#include <algorithm>
#include <numeric>

namespace reform {
namespace {

bool may_stay(const WeightDemand& d) { return d.place == WeightPlace::kAuto || d.place == WeightPlace::kResident; }

// Fills the room that the stack's lowest units, `kept`, leave.
class Filling {
 public:
  Filling(const WeightDemand& demand, std::span<const int64_t> kept) : d_(demand) {
    layout_.n_kept = int64_t(kept.size());
    for (const int64_t unit : kept) layout_.total_bytes += bytes(unit);
    for (const int64_t unit : d_.wanted) {
      if (std::find(kept.begin(), kept.end(), unit) == kept.end()) {
        missing_.push_back(unit);
      } else {
        layout_.resident_bytes += bytes(unit);
      }
    }
  }

  std::optional<WeightLayout> run() {
    if (may_stay(d_) && add_all()) return layout_;
    const bool embedding_missing = !missing_.empty() && missing_.back() == d_.embedding;
    layout_.host_embedding = embedding_missing;
    if (embedding_missing) layout_.total_bytes += d_.embedding_scratch_bytes;
    if (embedding_missing && !d_.embedding_is_output) {
      missing_.pop_back();
      if (may_stay(d_) && add_all()) return layout_;
    }
    if (d_.place == WeightPlace::kResident) return std::nullopt;
    stream();
    return free_bytes() >= 0 ? std::optional(layout_) : std::nullopt;
  }

 private:
  int64_t bytes(int64_t unit) const { return d_.unit_bytes[size_t(unit)]; }
  int64_t free_bytes() const { return d_.room_bytes - layout_.total_bytes; }
  void add(int64_t unit) {
    layout_.added.push_back(unit);
    layout_.total_bytes += bytes(unit);
    layout_.resident_bytes += bytes(unit);
  }
  bool add_all() {
    int64_t all_bytes = 0;
    for (const int64_t unit : missing_) all_bytes += bytes(unit);
    if (all_bytes > free_bytes()) return false;
    for (const int64_t unit : missing_) add(unit);
    return true;
  }
  void stream() {
    layout_.streams = !missing_.empty();
    if (layout_.streams) layout_.total_bytes += 2 * d_.slot_bytes;
    for (const int64_t unit : missing_) {
      const int64_t saved_bytes = unit == d_.embedding ? d_.embedding_scratch_bytes : 0;
      if (!may_stay(d_) || bytes(unit) > free_bytes() + saved_bytes) continue;
      add(unit);
      layout_.total_bytes -= saved_bytes;
      if (unit == d_.embedding) layout_.host_embedding = false;
    }
  }

  const WeightDemand& d_;
  WeightLayout layout_;
  std::vector<int64_t> missing_;
};

}  // namespace

std::optional<WeightLayout> lay_out(const WeightDemand& demand, std::span<const int64_t> stack) {
  std::optional<WeightLayout> best;
  for (int64_t n_kept = may_stay(demand) ? int64_t(stack.size()) : 0; n_kept >= 0; --n_kept) {
    auto layout = Filling(demand, stack.first(size_t(n_kept))).run();
    if (layout && (!best || layout->resident_bytes > best->resident_bytes)) best = std::move(layout);
  }
  return best;
}

int64_t least_weight_bytes(const WeightDemand& d) {
  int64_t others_bytes = 0;
  for (const int64_t unit : d.wanted) {
    if (unit != d.embedding || d.embedding_is_output) others_bytes += d.unit_bytes[size_t(unit)];
  }
  const int64_t scratch_bytes = d.embedding ? d.embedding_scratch_bytes : 0;
  const int64_t resident_bytes = others_bytes + (d.embedding_is_output ? 0 : scratch_bytes);
  const int64_t streamed_bytes = scratch_bytes + (others_bytes > 0 ? 2 * d.slot_bytes : 0);
  if (d.place == WeightPlace::kAuto) return std::min(resident_bytes, streamed_bytes);
  return d.place == WeightPlace::kResident ? resident_bytes : streamed_bytes;
}

std::vector<int64_t> spread(int64_t n) {
  const auto reversed = [](uint64_t i) {
    uint64_t r = 0;
    for (int bit = 0; bit < 64; ++bit, i >>= 1) r = r << 1 | (i & 1);
    return r;
  };
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](int64_t a, int64_t b) { return reversed(uint64_t(a)) < reversed(uint64_t(b)); });
  return order;
}

}  // namespace reform
