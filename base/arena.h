// Hands out parts of one range of bytes taken beforehand: where memory cannot be asked for in the middle of the work.
// Only numbers; whose the bytes are and where they lie is the caller's. Thread-safety: none.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace reform {

class Arena {
 public:
  static constexpr int64_t kAlignment = 256;

  explicit Arena(int64_t bytes);

  // The offset of `bytes` (at least 1) that nobody has, a multiple of kAlignment: from the smallest gap that holds
  // them, so that large gaps stay whole. Nothing if no gap does.
  std::optional<int64_t> take(int64_t bytes);
  void give_back(int64_t offset);

  int64_t used_bytes() const { return used_bytes_; }
  int64_t peak_bytes() const { return peak_bytes_; }  // most that were used at once, gaps left out
  int64_t largest_gap_bytes() const;

 private:
  std::map<int64_t, int64_t> gaps_, taken_;  // bytes by offset; gaps never touch
  int64_t used_bytes_ = 0, peak_bytes_ = 0;
};

}  // namespace reform
