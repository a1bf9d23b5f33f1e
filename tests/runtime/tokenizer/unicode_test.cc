#include "runtime/tokenizer/unicode.h"

#include <utf8cpp/utf8.h>

#include <catch2/catch.hpp>
#include <string>

using namespace reform;

namespace {

// Bytes on both sides of every border in UTF-8.
constexpr char kBytes[] = {'\x00', 'A',    '\x7f', '\x80', '\x8f', '\x90', '\x9f', '\xa0',
                           '\xbf', '\xc0', '\xc1', '\xc2', '\xdf', '\xe0', '\xe1', '\xec',
                           '\xed', '\xee', '\xef', '\xf0', '\xf1', '\xf4', '\xf5', '\xff'};

// The definition, by another decoder: the text is no character yet, and some bytes after it make it one.
bool is_start(const std::string& text) {
  if (utf8::is_valid(text.begin(), text.end())) return false;
  for (size_t n = 1; n <= 3; ++n) {
    for (const char byte : {'\x80', '\xbf'}) {
      const std::string whole = text + std::string(n, byte);
      if (utf8::is_valid(whole.begin(), whole.end()) && utf8::distance(whole.begin(), whole.end()) == 1) return true;
    }
  }
  return false;
}

}  // namespace

TEST_CASE("what a text's end lacks of a character is known for any bytes", "[runtime][tokenizer]") {
  CHECK(open_tail_bytes("") == 0);
  for (const char a : kBytes) {
    for (const char b : kBytes) {
      for (const char c : kBytes) {
        const std::string text = {a, b, c};
        size_t want = 0;
        for (size_t n = 1; n <= 3; ++n)
          if (is_start(text.substr(3 - n))) want = n;
        if (open_tail_bytes(text) != want) {
          CAPTURE(int(uint8_t(a)), int(uint8_t(b)), int(uint8_t(c)), want);
          CHECK(open_tail_bytes(text) == want);
        }
      }
    }
  }
}

TEST_CASE("letters and digits are told from signs in any script", "[runtime][tokenizer]") {
  for (const char* text : {"a", "?7", "é", "水", "… ж", "٣", "½", "हि", "\xff q", "한"})
    CHECK(has_letter_or_digit(text));
  for (const char* text : {"", "?!", "…", "—", "»«", "😀", "\u200b", "\u00a0", "\u3000", "\xff\xfe", "€"})
    CHECK_FALSE(has_letter_or_digit(text));
}
