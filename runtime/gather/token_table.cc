#include "runtime/gather/token_table.h"

#include <utf8cpp/utf8.h>

#include <algorithm>
#include <initializer_list>
#include <string>

#include "runtime/tokenizer/unicode.h"

namespace reform {
namespace {

uint32_t lower(uint32_t c) {
  const auto within = [&](uint32_t first, uint32_t last) { return c >= first && c <= last; };
  if (within('A', 'Z') || (within(0xC0, 0xDE) && c != 0xD7)) return c + 32;
  if (within(0x391, 0x3A9) || within(0x410, 0x42F)) return c + 32;
  if (within(0x400, 0x40F)) return c + 80;
  return c;
}

// Scripts that put no space between words: each token is a word there.
bool is_unspaced(uint32_t c) {
  const auto within = [&](uint32_t first, uint32_t last) { return c >= first && c <= last; };
  const bool southeast_asian = within(0x0E00, 0x0EFF) || within(0x1000, 0x109F) || within(0x1780, 0x17FF);
  const bool chinese_or_kana = within(0x2E80, 0x9FFF) || within(0xF900, 0xFAFF) || c >= 0x20000;
  return southeast_asian || chinese_or_kana;
}

bool is_of_word(const Utf8Char& c) {
  if (c.kind != Utf8Char::Kind::kValid || is_unspaced(c.code_point)) return false;
  const CharClass char_class_of = char_class(c.code_point);
  return is_letter(char_class_of) || char_class_of == CharClass::kNumber || char_class_of == CharClass::kMark;
}

// From the first letter or digit to the last; empty if there is none.
std::string_view core(std::string_view text) {
  size_t begin = text.size(), end = 0;
  for (size_t pos = 0; pos < text.size();) {
    const Utf8Char c = decode_utf8(text, pos);
    if (is_of_word(c)) begin = std::min(begin, pos), end = pos + c.n_bytes;
    pos += c.n_bytes;
  }
  return begin < end ? text.substr(begin, end - begin) : std::string_view();
}

std::string_view trim(std::string_view text) {
  constexpr const char* kSpaces = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) + 1 - begin);
}

uint8_t n_chars_of(std::string_view text) {
  const auto n = std::count_if(text.begin(), text.end(), [](char c) { return (uint8_t(c) & 0xC0) != 0x80; });
  return uint8_t(std::min<ptrdiff_t>(n, 255));
}

// The end of `text` is one of these, quotes and brackets after it passed over.
bool ends_with_any(std::string_view text, std::initializer_list<std::string_view> stops) {
  while (!text.empty() && (text.back() == '"' || text.back() == '\'' || text.back() == ')' || text.back() == ']'))
    text.remove_suffix(1);
  for (const std::string_view stop : stops) {
    if (text.ends_with(stop)) return true;
  }
  return false;
}

}  // namespace

std::string fold(std::string_view text) {
  text = trim(text);
  std::string folded;
  for (size_t pos = 0; pos < text.size();) {
    const Utf8Char c = decode_utf8(text, pos);
    if (c.kind == Utf8Char::Kind::kValid) {
      utf8::append(char32_t(lower(c.code_point)), folded);
    } else {
      folded.append(text.substr(pos, c.n_bytes));  // a token may be a part of a character
    }
    pos += c.n_bytes;
  }
  return folded;
}

uint16_t TokenTable::flags_of(std::string_view text) {
  const std::string_view inner = trim(text), word = core(text);
  uint16_t flags = 0;
  const size_t newline = text.find('\n');
  if (newline != std::string_view::npos) flags |= kNewline;
  if (newline != std::string_view::npos && text.find('\n', newline + 1) != std::string_view::npos) flags |= kBlankLine;
  if (inner.empty() && !text.empty()) flags |= kBlank;
  if (!text.empty() && (text.front() == ' ' || text.front() == '\n' || text.front() == '\r' || text.front() == '\t'))
    flags |= kLeadingSpace;
  const CharClass first = text.empty() ? CharClass::kOther : char_class(decode_utf8(text, 0).code_point);
  if (first == CharClass::kLower) flags |= kSmall;
  if (first == CharClass::kUpper) flags |= kCapital;
  if (ends_with_any(inner, {".", "!", "?"})) flags |= kStop;
  if (ends_with_any(inner, {"\u3002", "\uff01", "\uff1f", "\u061f", "\u06d4"})) flags |= kWideStop;
  if (!word.empty() && word.data() == text.data()) flags |= kJoinsBefore;
  if (!word.empty() && word.data() + word.size() == text.data() + text.size()) flags |= kJoinsAfter;
  return flags;
}

TokenTable::TokenTable(const Tokenizer& tokenizer) {
  const auto n_vocab = size_t(tokenizer.n_vocab());
  words_.reserve(n_vocab), flags_.reserve(n_vocab), n_chars_.reserve(n_vocab);
  for (int32_t id = 0; id < tokenizer.n_vocab(); ++id) {
    const std::string text = tokenizer.token_bytes(id, true);
    const std::string_view word = core(text);
    words_.emplace_back(fold(word.empty() ? std::string_view(text) : word));
    flags_.push_back(flags_of(text));
    n_chars_.push_back(n_chars_of(text));
  }
}

}  // namespace reform
