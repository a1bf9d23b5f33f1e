// What gather knows of a token from its text alone: which word or part of a word it is, and whether a line or a
// sentence ends with it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/gather/word_hash.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform {

class TokenTable {
 public:
  explicit TokenTable(const Tokenizer& tokenizer);
  // The memory it takes, that for making it included.
  static int64_t bytes(int64_t n_vocab) {
    return n_vocab * int64_t(sizeof(WordHash) + sizeof(uint16_t) + sizeof(uint8_t));
  }

  int64_t n_vocab() const { return int64_t(words_.size()); }
  // Of its letters and digits, from the first to the last, or of all of it if it has none; without case and spaces.
  const WordHash& word(int32_t id) const { return words_[size_t(id)]; }
  // Its word may have begun in the token before, or go on in the next: nothing but letters and digits stands between.
  bool joins_before(int32_t id) const { return (flags_[size_t(id)] & kJoinsBefore) != 0; }
  bool joins_after(int32_t id) const { return (flags_[size_t(id)] & kJoinsAfter) != 0; }
  bool has_newline(int32_t id) const { return (flags_[size_t(id)] & kNewline) != 0; }
  bool has_blank_line(int32_t id) const { return (flags_[size_t(id)] & kBlankLine) != 0; }
  bool is_blank(int32_t id) const { return (flags_[size_t(id)] & kBlank) != 0; }
  bool begins_with_space(int32_t id) const { return (flags_[size_t(id)] & kLeadingSpace) != 0; }
  bool begins_small(int32_t id) const { return (flags_[size_t(id)] & kSmall) != 0; }  // with a small letter
  bool begins_capital(int32_t id) const { return (flags_[size_t(id)] & kCapital) != 0; }
  // Ends with a full stop or its like. A sentence ends there if a space follows, or at once in scripts without spaces.
  bool has_stop(int32_t id) const { return (flags_[size_t(id)] & kStop) != 0; }
  bool has_wide_stop(int32_t id) const { return (flags_[size_t(id)] & kWideStop) != 0; }
  // Its characters, at most 255.
  int64_t n_chars(int32_t id) const { return n_chars_[size_t(id)]; }

 private:
  enum Flag : uint16_t {
    kNewline = 1,
    kBlankLine = 2,
    kBlank = 4,
    kLeadingSpace = 8,
    kSmall = 16,
    kStop = 32,
    kWideStop = 64,
    kJoinsBefore = 128,
    kJoinsAfter = 256,
    kCapital = 512,
  };
  static uint16_t flags_of(std::string_view text);

  std::vector<WordHash> words_;
  std::vector<uint16_t> flags_;
  std::vector<uint8_t> n_chars_;
};

// A text without case and without spaces around it. Case: the pairs of ASCII, Latin-1, Greek and Cyrillic.
std::string fold(std::string_view text);

}  // namespace reform
