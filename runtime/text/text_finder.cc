#include "runtime/text/text_finder.h"

#include <reform/text.h>

#include <utility>

#include "base/blank.h"
#include "base/try.h"
#include "runtime/tokenizer/unicode.h"

namespace reform {

void TextFinder::look(std::string_view block) {
  if (found_) return;
  const std::string text = std::exchange(open_, {}).append(block);
  for (size_t pos = 0; pos < text.size() && !found_;) {
    const Utf8Char c = decode_utf8(text, pos);
    if (c.kind == Utf8Char::Kind::kIncomplete) {
      open_ = text.substr(pos);
      return;
    }
    found_ = c.kind == Utf8Char::Kind::kInvalid || !is_blank(char32_t(c.code_point));
    pos += c.n_bytes;
  }
}

Result<EncodedTextFinder> EncodedTextFinder::create(const std::string& encoding) {
  EncodedTextFinder finder;
  if (is_utf8(encoding)) return finder;
  TRY_ASSIGN(finder.decoder_, TextDecoder::create(encoding, /*lossy=*/true));
  TRY(finder.decoder_->begin(encoding));
  return finder;
}

Status EncodedTextFinder::look(std::string_view bytes, bool at_end) {
  if (decoder_ == nullptr) {
    finder_.look(bytes);
  } else {
    std::string text;
    OffsetMap unused;
    TRY(decoder_->decode(bytes, at_end, text, unused));
    finder_.look(text);
  }
  if (at_end) finder_.end();
  return {};
}

bool is_blank(std::string_view utf8) {
  TextFinder finder;
  finder.look(utf8);
  finder.end();
  return !finder.found();
}

bool has_text(std::string_view head, const std::string& encoding) {
  auto finder = EncodedTextFinder::create(encoding);
  // An encoding that is unknown is refused elsewhere.
  return !finder.ok() || !finder.value().look(head, /*at_end=*/true).ok() || finder.value().found();
}

}  // namespace reform
