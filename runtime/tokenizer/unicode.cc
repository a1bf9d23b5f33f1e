#include "runtime/tokenizer/unicode.h"

#include <fmt/format.h>
#include <utf8cpp/utf8.h>

#include <array>
#include <iterator>
#include <vector>

namespace reform {
namespace {

constexpr uint32_t kRuns[] = {
#include "runtime/tokenizer/unicode_classes.inc"
};

constexpr uint32_t kNumCodePoints = 0x110000;

// One byte per code point: 1.1 MB, of which a text touches only the pages of its own scripts.
std::vector<CharClass> expand_runs() {
  std::vector<CharClass> table(kNumCodePoints);
  for (size_t i = 0; i < std::size(kRuns); ++i) {
    const uint32_t begin = kRuns[i] >> 3, end = i + 1 < std::size(kRuns) ? kRuns[i + 1] >> 3 : kNumCodePoints;
    for (uint32_t c = begin; c < end; ++c) table[c] = CharClass(kRuns[i] & 7);
  }
  return table;
}

}  // namespace

CharClass char_class(uint32_t code_point) {
  static const std::vector<CharClass> table = expand_runs();
  return code_point < kNumCodePoints ? table[code_point] : CharClass::kOther;
}

Utf8Char decode_utf8(std::string_view text, size_t pos) {
  using Kind = Utf8Char::Kind;
  const auto byte = [&](size_t i) { return uint8_t(text[i]); };
  const uint8_t first = byte(pos);
  if (first < 0x80) return {Kind::kValid, 1, first};
  // Table 3-7 of the Unicode standard: the second byte's range depends on the first; all others are 80..BF.
  size_t length = 0;
  uint8_t low = 0x80, high = 0xbf;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  } else {
    return {Kind::kInvalid, 1, 0};
  }
  uint32_t code_point = first & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i, low = 0x80, high = 0xbf) {
    if (pos + i == text.size()) return {Kind::kIncomplete, uint8_t(i), 0};
    if (byte(pos + i) < low || byte(pos + i) > high) return {Kind::kInvalid, uint8_t(i), 0};
    code_point = code_point << 6 | (byte(pos + i) & 0x3fu);
  }
  return {Kind::kValid, uint8_t(length), code_point};
}

bool has_letter_or_digit(std::string_view text) {
  for (size_t pos = 0; pos < text.size();) {
    const Utf8Char c = decode_utf8(text, pos);
    const CharClass of = c.kind == Utf8Char::Kind::kValid ? char_class(c.code_point) : CharClass::kOther;
    if (is_letter(of) || of == CharClass::kNumber) return true;
    pos += c.n_bytes;
  }
  return false;
}

Status check_utf8(const std::string& name, std::string_view text) {
  const auto wrong = utf8::find_invalid(text.begin(), text.end());
  if (wrong == text.end()) return {};
  return {Code::kBadText, fmt::format("{} is not UTF-8 at byte {}", name, wrong - text.begin())};
}

size_t open_tail_bytes(std::string_view text) {
  for (size_t n = 1; n <= 3 && n <= text.size(); ++n)
    if (decode_utf8(text, text.size() - n).kind == Utf8Char::Kind::kIncomplete) return n;
  return 0;
}

}  // namespace reform
