#include "base/arena.h"

#include <algorithm>
#include <iterator>

#include "base/try.h"

namespace reform {

Arena::Arena(int64_t bytes) {
  bytes = bytes / kAlignment * kAlignment;
  if (bytes > 0) gaps_[0] = bytes;
}

std::optional<int64_t> Arena::take(int64_t bytes) {
  CHECK(bytes >= 1);
  auto best = gaps_.end();
  for (auto gap = gaps_.begin(); gap != gaps_.end(); ++gap) {
    if (gap->second >= bytes && (best == gaps_.end() || gap->second < best->second)) best = gap;
  }
  if (best == gaps_.end()) return std::nullopt;
  const auto [offset, gap_bytes] = *best;
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;  // gaps are whole units, so it still fits
  gaps_.erase(best);
  if (gap_bytes > bytes) gaps_[offset + bytes] = gap_bytes - bytes;
  taken_[offset] = bytes;
  used_bytes_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, used_bytes_);
  return offset;
}

void Arena::give_back(int64_t offset) {
  const auto part = taken_.find(offset);
  CHECK(part != taken_.end());
  int64_t begin = offset, end = offset + part->second;
  used_bytes_ -= part->second;
  taken_.erase(part);
  auto after = gaps_.lower_bound(begin);
  if (after != gaps_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == begin) {
      begin = before->first;
      gaps_.erase(before);
    }
  }
  if (after != gaps_.end() && after->first == end) {
    end += after->second;
    gaps_.erase(after);
  }
  gaps_[begin] = end - begin;
}

int64_t Arena::largest_gap_bytes() const {
  int64_t largest = 0;
  for (const auto& [offset, bytes] : gaps_) largest = std::max(largest, bytes);
  return largest;
}

}  // namespace reform
