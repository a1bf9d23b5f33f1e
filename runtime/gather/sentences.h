// Where lines and sentences end, told from the tokens on both sides of a place.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/gather/line_width.h"
#include "runtime/gather/token_table.h"

namespace reform {

class SentenceFinder {
 public:
  struct Place {
    bool newline = false;     // the last token ends a line of the file
    bool line = false;        // and the next one begins another thing: it does not go on with the sentence
    bool blank_line = false;  // an empty line follows
    bool sentence = false;    // a sentence or a line ends
  };

  explicit SentenceFinder(const TokenTable& table) : table_(table) {}

  // The place between the token before, if there is one, and `next`.
  Place before(int32_t next);

 private:
  // The line that just ended goes on in `next`.
  bool is_wrapped(int32_t next) const;
  void count_chars(int32_t id);

  const TokenTable& table_;
  LineWidth width_;
  int64_t line_chars_ = 0, last_line_chars_ = 0;
  bool newline_ = false, blank_line_ = false, stop_ = false, wide_stop_ = false;  // of the last token
};

// Where sentences end, as token numbers; the last is the text's end. One shorter than min_tokens is joined with the
// next; the last may be shorter.
std::vector<int32_t> sentence_ends(const TokenTable& table, std::span<const int32_t> ids, int64_t min_tokens);

}  // namespace reform
