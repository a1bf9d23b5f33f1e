#include <algorithm>

#include "base/try.h"
#include "runtime/tokenizer/encoder.h"
#include "runtime/tokenizer/tokenizer.h"
#include "runtime/tokenizer/unicode.h"

namespace reform {
namespace {

constexpr size_t kSliceBytes = size_t(1) << 16;
constexpr int64_t kCutBytes = 3;  // of a character that is not whole yet

// U+FFFD takes three bytes for each invalid one.
int64_t most_text_bytes(int64_t fed_bytes, bool lossy) {
  return int64_t(kMaxHeldBytes) + kCutBytes + (lossy ? int64_t(kReplacementChar.size()) : 1) * fed_bytes;
}

}  // namespace

// Text is decoded only when what was held back is within its limit, one slice at a time.
void TokenStream::reserve() {
  const auto n_bytes = size_t(most_text_bytes(int64_t(kSliceBytes), lossy_));
  raw_.reserve(n_bytes);
  text_.reserve(n_bytes);
  scratch_.reserve();
}

int64_t TokenStream::most_bytes(bool lossy) {
  const int64_t n_bytes = most_text_bytes(int64_t(kSliceBytes), lossy);
  const int64_t n_replacements = lossy ? n_bytes / int64_t(kReplacementChar.size()) : 0;
  return 2 * n_bytes + n_replacements * int64_t(sizeof(Replacement)) + MergeScratch::most_bytes();
}

// A prefix that the text lacks is one more character.
int64_t TokenStream::most_tokens(const Tokenizer& tokenizer, bool lossy, int64_t fed_bytes) {
  return tokenizer.most_tokens_per_byte() * (most_text_bytes(fed_bytes, lossy) + 1);
}

int64_t TokenStream::most_held_bytes() { return int64_t(kMaxHeldBytes) + kCutBytes; }

// Works in slices, so that one huge feed is not one huge stretch.
Status TokenStream::feed(std::string_view bytes, TokenBatch& out) {
  do {
    raw_ += bytes.substr(0, kSliceBytes);
    bytes.remove_prefix(std::min(kSliceBytes, bytes.size()));
    TRY(decode(false));
    if (text_.size() >= retry_at_bytes_ || text_.size() > kMaxHeldBytes) encode(false, out);
    if (text_.size() > kMaxHeldBytes) return no_split(consumed_bytes_, text_.size(), kMaxHeldBytes);
  } while (!bytes.empty());
  return ok_status();
}

Status TokenStream::finish(TokenBatch& out) {
  TRY(decode(true));
  encode(true, out);
  return text_.empty() ? ok_status() : no_split(consumed_bytes_, text_.size(), kMaxMergedBytes);
}

Status TokenStream::decode(bool final) {
  while (n_decoded_ < raw_.size()) {
    const Utf8Char c = decode_utf8(raw_, n_decoded_);
    if (c.kind == Utf8Char::Kind::kIncomplete && !final) break;
    if (c.kind == Utf8Char::Kind::kValid) {
      text_.append(raw_, n_decoded_, c.n_bytes);
      n_decoded_ += c.n_bytes;
    } else if (lossy_) {
      replacements_.push_back({text_.size(), c.n_bytes});
      text_ += kReplacementChar;
      n_decoded_ += c.n_bytes;
    } else {
      return {Code::kBadText, "the text is not UTF-8 at byte " + std::to_string(consumed_bytes_ + int64_t(n_decoded_))};
    }
  }
  return ok_status();
}

// A long run without a place to split is tried again only when it has doubled. Otherwise many small feeds would each
// read all of it.
void TokenStream::encode(bool final, TokenBatch& out) {
  constexpr size_t kLongBytes = 4096;
  const size_t first_token = out.ids.size();
  const size_t n_text = tokenizer_.encode_front(text_, consumed_bytes_ == 0, final, scratch_, within_, out);
  to_raw_lengths(out, first_token);
  drop_front(n_text);
  retry_at_bytes_ = text_.size() > kLongBytes ? 2 * text_.size() : 0;
}

// Lengths so far count bytes of text_. If a token ends within a U+FFFD, the bytes behind it count to the token that
// ends it.
void TokenStream::to_raw_lengths(TokenBatch& out, size_t first_token) {
  if (replacements_.empty()) return;
  size_t text_end = 0, next = 0, replaced_text = 0, replaced_raw = 0, last_raw_end = 0;
  for (size_t i = first_token; i < out.ids.size(); ++i) {
    text_end += out.byte_lengths[i];
    for (; next < replacements_.size() && replacements_[next].text_pos + kReplacementChar.size() <= text_end; ++next) {
      replaced_text += kReplacementChar.size();
      replaced_raw += replacements_[next].n_raw;
    }
    const bool within = next < replacements_.size() && replacements_[next].text_pos < text_end;
    const size_t raw_end = (within ? replacements_[next].text_pos : text_end) - replaced_text + replaced_raw;
    out.byte_lengths[i] = uint32_t(raw_end - last_raw_end);
    last_raw_end = raw_end;
  }
}

void TokenStream::drop_front(size_t n_text) {
  size_t n_raw = n_text;
  while (!replacements_.empty() && replacements_.front().text_pos < n_text) {
    n_raw = n_raw - kReplacementChar.size() + replacements_.front().n_raw;
    replacements_.pop_front();
  }
  for (Replacement& replacement : replacements_) replacement.text_pos -= n_text;
  text_.erase(0, n_text);
  raw_.erase(0, n_raw);
  n_decoded_ -= n_raw;
  consumed_bytes_ += int64_t(n_raw);
}

std::string TextStream::push(std::string_view token_bytes) {
  pending_ += token_bytes;
  std::string text;
  size_t pos = 0;
  while (pos < pending_.size()) {
    const Utf8Char c = decode_utf8(pending_, pos);
    if (c.kind == Utf8Char::Kind::kIncomplete) break;
    if (c.kind == Utf8Char::Kind::kValid) {
      text.append(pending_, pos, c.n_bytes);
    } else {
      text += kReplacementChar;
    }
    pos += c.n_bytes;
  }
  pending_.erase(0, pos);
  return text;
}

std::string TextStream::finish() {
  const bool cut = !pending_.empty();  // push() leaves at most one character's beginning
  pending_.clear();
  return cut ? std::string(kReplacementChar) : "";
}

}  // namespace reform
