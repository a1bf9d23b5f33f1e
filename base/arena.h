// Divides one range of bytes that the caller took beforehand, for memory that cannot be allocated during the work. It
// handles offsets only; the caller owns the bytes. Thread-safety: none.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace reform {

class Arena {
 public:
  static constexpr int64_t kAlignment = 256;

  explicit Arena(int64_t bytes);

  // Returns the offset, a multiple of kAlignment, of `bytes` (at least 1) free bytes. Takes them from the smallest gap
  // that holds them, so that large gaps stay whole. No value if no gap does.
  std::optional<int64_t> take(int64_t bytes);
  void give_back(int64_t offset);

  int64_t used_bytes() const { return used_bytes_; }
  int64_t peak_bytes() const { return peak_bytes_; }  // most bytes used at once, without gaps
  int64_t largest_gap_bytes() const;

 private:
  std::map<int64_t, int64_t> gaps_, taken_;  // bytes by offset; gaps never touch
  int64_t used_bytes_ = 0, peak_bytes_ = 0;
};

}  // namespace reform
