#include "runtime/text/text_finder.h"

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

}  // namespace reform
