// Where a text is cut, and so how its rest is encoded: mostly between two words, else within a long one.
#pragma once

#include <cstdint>

namespace reform {

// These values are on disk; never renumber.
enum class WordPart : uint8_t {
  kNone = 0,  // between two words
  kLetters = 1,
  kUpper = 2,  // cased words: no lower-case letter yet
  kLower = 3,  // cased words: after one
  kNumbers = 4,
  kPunctuation = 5,
  kTail = 6,  // the line feeds after punctuation
  kSpace = 7,
  kStart = 8,  // between two words, after a special token: a text begins there
};
inline constexpr int64_t kLastWordPart = 8;

}  // namespace reform
