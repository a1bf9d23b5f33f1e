#include "runtime/text/character_bytes.h"

#include <algorithm>
#include <array>
#include <utility>

#include "runtime/text/iconv_handle.h"
#include "runtime/tokenizer/unicode.h"

namespace reform {
namespace {

std::unique_ptr<Iconv> encoder_of(const std::string& encoding) {
  if (encoding.empty()) return nullptr;
  auto encoder = std::make_unique<Iconv>(encoding, "UTF-8");
  return encoder->valid() ? std::move(encoder) : nullptr;
}

// What iconv makes of it, from its initial state; < 0: it cannot.
int64_t converted_bytes(const Iconv& encoder, const std::string& text) {
  std::array<char, 64> out;
  iconv(encoder.handle, nullptr, nullptr, nullptr, nullptr);
  char *from = const_cast<char*>(text.data()), *to = out.data();
  size_t left = text.size(), room = out.size();
  if (iconv(encoder.handle, &from, &left, &to, &room) != 0 || left != 0) return -1;
  return int64_t(out.size() - room);
}

}  // namespace

CharacterBytes::CharacterBytes(const std::string& encoding, std::vector<int64_t> file_begins)
    : encode_(encoder_of(encoding)),
      file_begins_(std::move(file_begins)),
      mark_bytes_(raw_bytes("a") > 1 ? raw_bytes("a") : 3) {}
CharacterBytes::~CharacterBytes() = default;

// A second one adds its own bytes alone: no mark, and no escape.
int64_t CharacterBytes::raw_bytes(std::string_view character) const {
  if (character == kReplacementChar) return -1;
  if (encode_ == nullptr) return int64_t(character.size());
  const std::string once(character);
  const int64_t one = converted_bytes(*encode_, once), two = converted_bytes(*encode_, once + once);
  return one < 0 || two < 0 ? -1 : two - one;
}

// Those whose bytes are not known share what the others leave.
std::vector<CharacterBytes::Character> CharacterBytes::characters_of(std::string_view text, int64_t n_raw) const {
  std::vector<Character> characters;
  int64_t left = n_raw, n_unknown = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    // The end of a character of the token before counts here, whole; the beginning of one of the token after does not.
    int64_t n = c.kind == Utf8Char::Kind::kIncomplete ? 0 : -1;
    if (c.kind == Utf8Char::Kind::kValid) n = raw_bytes(text.substr(at, c.n_bytes));
    at += c.n_bytes;
    characters.push_back({at, n});
    (n < 0 ? n_unknown : left) -= n;
  }
  for (Character& c : characters) {
    if (c.n_raw >= 0) continue;
    c.n_raw = std::max<int64_t>(0, left) / n_unknown--;
    left -= c.n_raw;
  }
  return characters;
}

std::vector<int64_t> CharacterBytes::begins_in(RawRange raw) const {
  return {std::ranges::lower_bound(file_begins_, raw.begin), std::ranges::lower_bound(file_begins_, raw.end)};
}

size_t CharacterBytes::text_before(std::string_view text, RawRange raw, int64_t at) const {
  if (at <= raw.begin) return 0;
  if (at >= raw.end) return text.size();
  const std::vector<Character> characters = characters_of(text, raw.end - raw.begin);
  int64_t textless = raw.end - raw.begin;
  for (const Character& c : characters) textless -= c.n_raw;
  const std::vector<int64_t> begins = begins_in(raw);
  size_t best = 0, next = 0;
  int64_t byte = raw.begin;
  for (const Character& c : characters) {
    for (; next < begins.size() && begins[next] <= byte; ++next) {
      const int64_t mark = begins[next] == byte && textless >= mark_bytes_ ? mark_bytes_ : 0;
      byte += mark, textless -= mark;
    }
    byte += c.n_raw;
    if (byte > at) break;
    best = c.text_end;
    const bool may_escape = mark_bytes_ == 3 && textless >= mark_bytes_ && c.n_raw > 1;
    if (may_escape && byte + mark_bytes_ == at) break;  // an escape ends the file
  }
  return best;
}

}  // namespace reform
