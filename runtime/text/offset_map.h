// Which bytes of a file each character of its converted text came from, for characters whose tokens are not out yet.
#pragma once

#include <cstdint>
#include <deque>

namespace reform {

// `count` characters after one another, each n_text bytes in UTF-8 and n_raw in the file. n_text 0: bytes without text,
// such as a byte order mark; they count to the character after them. n_raw 0: a character of the bytes before it.
struct TextRun {
  int32_t n_text = 0, n_raw = 0;
  int64_t count = 0;
};

class OffsetMap {
 public:
  void add(int32_t n_text, int32_t n_raw, int64_t count = 1);
  // Takes the next n_text bytes of text and returns the file's bytes of the characters that end there.
  int64_t take(int64_t n_text);
  // What was not taken. Call it only between two characters.
  const std::deque<TextRun>& left() const { return runs_; }
  // More are refused. Characters of one kind are one run, so this is much for text whose tokens are not out yet.
  static constexpr int64_t kMostRuns = 32768;

 private:
  std::deque<TextRun> runs_;
  int64_t within_ = 0;  // bytes taken of the next character
};

}  // namespace reform
