// The one UTF-8 decoder, and the character classes that the published pre-tokenizers name. It uses no tables of the C
// library or the locale.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace reform {

// The classes that the pre-tokenizers' regexes tell apart, by Unicode 16's general categories. unicode_classes.inc uses
// the same values.
enum class CharClass : uint8_t {
  kOther = 0,     // punctuation, symbols, controls, unassigned
  kSpace = 1,     // \s: White_Space
  kNumber = 2,    // \p{N}
  kMark = 3,      // \p{M}
  kUpper = 4,     // \p{Lu} \p{Lt}
  kLower = 5,     // \p{Ll}
  kCaseless = 6,  // \p{Lm} \p{Lo}
};

inline bool is_letter(CharClass c) { return c >= CharClass::kUpper; }

CharClass char_class(uint32_t code_point);

// One character, or the longest prefix of one that a decoder can reject at once ("maximal subpart": what Python's
// errors="replace" and the WHATWG decoder turn into one U+FFFD). utf8cpp writes characters here and says whether a text
// is valid. But it does not tell how long that prefix is, or that a text only ends within a character.
struct Utf8Char {
  enum class Kind : uint8_t { kValid, kInvalid, kIncomplete };  // incomplete: the text ends within it
  Kind kind;
  uint8_t n_bytes;  // >= 1
  uint32_t code_point;
};

// The character at text[pos]; pos < text.size(). No overlong forms, no surrogates, nothing past U+10FFFF.
Utf8Char decode_utf8(std::string_view text, size_t pos);

// Of any script.
bool has_letter_or_digit(std::string_view text);

// kBadText: `name`, such as "the question", is not UTF-8.
Status check_utf8(const std::string& name, std::string_view text);

// How many bytes at the end begin a character that the text cuts off: at most three.
size_t open_tail_bytes(std::string_view text);

inline constexpr std::string_view kReplacementChar = "\xef\xbf\xbd";  // U+FFFD

}  // namespace reform
