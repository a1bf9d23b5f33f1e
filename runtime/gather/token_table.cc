#include "runtime/gather/token_table.h"

#include <utf8cpp/utf8.h>

#include <algorithm>
#include <functional>
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

std::string_view trim(std::string_view text) {
  constexpr const char* kSpaces = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) + 1 - begin);
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

uint8_t TokenTable::flags_of(std::string_view text) {
  const std::string_view inner = trim(text);
  uint8_t flags = 0;
  const size_t newline = text.find('\n');
  if (newline != std::string_view::npos) flags |= kNewline;
  if (newline != std::string_view::npos && text.find('\n', newline + 1) != std::string_view::npos) flags |= kBlankLine;
  if (inner.empty() && !text.empty()) flags |= kBlank;
  if (!text.empty() && (text.front() == ' ' || text.front() == '\n' || text.front() == '\r' || text.front() == '\t'))
    flags |= kLeadingSpace;
  if (!text.empty() && char_class(decode_utf8(text, 0).code_point) == CharClass::kLower) flags |= kSmall;
  if (ends_with_any(inner, {".", "!", "?"})) flags |= kStop;
  if (ends_with_any(inner, {"\u3002", "\uff01", "\uff1f", "\u061f", "\u06d4"})) flags |= kWideStop;
  if (ends_with_any(inner, {"?", "\uff1f", "\u061f"})) flags |= kQuestionMark;
  return flags;
}

TokenTable::TokenTable(const Tokenizer& tokenizer) : words_(size_t(tokenizer.n_vocab())), flags_(words_.size()) {
  std::vector<std::pair<uint64_t, int32_t>> hashes;  // of the folded texts; two of 64 bits do not meet by chance
  hashes.reserve(words_.size());
  for (size_t id = 0; id < words_.size(); ++id) {
    const std::string text = tokenizer.token_bytes(int32_t(id), true);
    flags_[id] = flags_of(text);
    hashes.emplace_back(std::hash<std::string>{}(fold(text)), int32_t(id));
  }
  std::sort(hashes.begin(), hashes.end());
  for (size_t i = 0, first = 0; i < hashes.size(); ++i) {
    if (hashes[i].first != hashes[first].first) first = i;
    words_[size_t(hashes[i].second)] = hashes[first].second;
  }
}

}  // namespace reform
