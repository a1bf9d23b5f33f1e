#include "runtime/text/text_finder.h"

#include <reform/text.h>

#include <utility>

#include "runtime/tokenizer/unicode.h"

namespace reform {
namespace {

constexpr uint32_t kByteOrderMark = 0xfeff;  // says how a text is written, and is none

}  // namespace

void TextFinder::look(std::string_view block) {
  if (found_) return;
  const std::string text = std::exchange(open_, {}).append(block);
  for (size_t pos = 0; pos < text.size() && !found_;) {
    const Utf8Char c = decode_utf8(text, pos);
    if (c.kind == Utf8Char::Kind::kIncomplete) {
      open_ = text.substr(pos);
      return;
    }
    found_ = c.kind == Utf8Char::Kind::kInvalid ||
             (char_class(c.code_point) != CharClass::kSpace && c.code_point != kByteOrderMark);
    pos += c.n_bytes;
  }
}

bool is_blank(std::string_view text) {
  constexpr std::u32string_view kZeroWidth = U"\u180e\u200b\u200c\u200d\u200e\u200f\u2060\ufeff";
  for (size_t pos = 0; pos < text.size();) {
    const Utf8Char c = decode_utf8(text, pos);
    if (c.kind != Utf8Char::Kind::kValid) return false;
    const bool is_zero_width = kZeroWidth.find(char32_t(c.code_point)) != std::u32string_view::npos;
    if (char_class(c.code_point) != CharClass::kSpace && !is_zero_width) return false;
    pos += c.n_bytes;
  }
  return true;
}

}  // namespace reform
