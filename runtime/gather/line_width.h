// Whether a text is wrapped: whether its lines end where the next word had no room, and not where something ends.
#pragma once

#include <algorithm>
#include <cstdint>

namespace reform {

// The longest of the recent lines stands for the width that lines are wrapped at. In wrapped text most lines come close
// to it; in code, chats and lists few do. A word's length is what "close" means.
class LineWidth {
 public:
  static constexpr int64_t kLeastChars = 40, kMostChars = 120;  // that people wrap text at
  static constexpr int64_t kWordChars = 12;
  static constexpr double kLeastFull = 0.4;  // of the recent lines
  static constexpr double kRecentLines = 16;

  // A line of so many characters has ended. Blank lines are none.
  void add_line(int64_t n_chars) {
    width_ = std::max(double(n_chars), width_ * (1 - 1 / (4 * kRecentLines)));
    full_ += (double(is_full(n_chars)) - full_) / kRecentLines;
  }
  // A line of so many characters, if it was added last, ends for want of room.
  bool is_wrapped(int64_t n_chars) const { return full_ > kLeastFull && is_full(n_chars); }

 private:
  bool is_full(int64_t n_chars) const {
    return width_ >= kLeastChars && width_ <= kMostChars && double(n_chars + kWordChars) >= width_;
  }

  double width_ = 0, full_ = 0;
};

}  // namespace reform
