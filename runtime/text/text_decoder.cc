#include "runtime/text/text_decoder.h"

#include <fmt/format.h>
#include <utf8cpp/utf8.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "base/try.h"
#include "runtime/text/iconv_handle.h"
#include "runtime/text/likeness.h"
#include "runtime/tokenizer/unicode.h"

namespace reform {
namespace {

constexpr uint32_t kByteOrderMark = 0xfeff, kReplacement = 0xfffd;
// Far more than any encoding has: an escape and a character, and what iconv gives for them.
constexpr size_t kMostCharacterBytes = 64, kMostPoints = 64;

bool is_name(const std::string& encoding) {
  return !encoding.empty() && encoding.size() <= 64 && std::all_of(encoding.begin(), encoding.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           std::string_view("-_:.+()").find(c) != std::string_view::npos;
  });
}

// The bytes that a reading which accepts errors goes on after.
size_t unit_bytes_of(const std::string& encoding) {
  const auto has = [&](const char* part) { return encoding.find(part) != std::string::npos; };
  return has("UTF-16") || has("UTF16") || has("UCS-2") || has("UCS2") || has("UNICODE") ? 2
         : has("UTF-32") || has("UTF32") || has("UCS-4") || has("UCS4")                 ? 4
                                                                                        : 1;
}

// In these a letter waits for a mark that may follow, and iconv gives it with the next byte. Others may have a shift
// state, which asking for the letter would reset.
bool keeps_letters_back(const std::string& encoding) {
  constexpr const char* kNames[] = {"1255", "MS-HEBR", "1258", "TCVN", "TSCII", "JISX0213", "HKSCS"};
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [&](const char* name) { return encoding.find(name) != std::string::npos; });
}

bool are_characters(const uint32_t* points, size_t n_points) {
  return std::all_of(points, points + n_points, [](uint32_t p) { return utf8::internal::is_code_point_valid(p); });
}

}  // namespace

std::string canonical_encoding(const std::string& encoding) {
  std::string name = encoding;
  for (char& c : name) c = c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c;
  return name == "UTF-8" || name == "UTF8" ? "" : name;
}

bool is_utf8(const std::string& encoding) { return canonical_encoding(encoding).empty(); }

std::string shown_encoding(const std::string& canonical) { return canonical.empty() ? "UTF-8" : canonical; }

TextDecoder::TextDecoder(std::string encoding, bool lossy)
    : encoding_(std::move(encoding)),
      lossy_(lossy),
      unit_bytes_(unit_bytes_of(encoding_)),
      keeps_back_(keeps_letters_back(encoding_)) {}
TextDecoder::~TextDecoder() = default;

Result<std::unique_ptr<TextDecoder>> TextDecoder::create(const std::string& encoding, bool lossy) {
  TRY(check_encoding(encoding));
  return std::unique_ptr<TextDecoder>(new TextDecoder(canonical_encoding(encoding), lossy));
}

// Each file has a handle of its own, since a byte order mark says how the rest of its file is read.
Status TextDecoder::begin(const std::string& name) {
  iconv_ = std::make_unique<Iconv>(kCodePoints, encoding_);
  if (!iconv_->valid()) return {Code::kUnavailable, fmt::format("{}: no converter from {}", name, encoding_)};
  name_ = name;
  pending_.clear();
  n_decoded_ = 0;
  at_start_ = true;
  last_.clear();
  last_raw_ = textless_raw_ = 0;
  return {};
}

// Of several characters the first were kept back before these bytes, or share them with the last.
void TextDecoder::put(const uint32_t* points, size_t n_points, int64_t n_raw, std::string& text, OffsetMap& map) {
  for (size_t i = 0; i < n_points; ++i) {
    if (std::exchange(at_start_, false) && points[i] == kByteOrderMark) continue;
    give_last(text, map);
    utf8::append(char32_t(points[i]), last_);
  }
  (last_.empty() || n_points == 0 ? textless_raw_ : last_raw_) += n_raw;
}

void TextDecoder::give_last(std::string& text, OffsetMap& map) {
  text += last_;
  if (!last_.empty()) map.add(int32_t(last_.size()), int32_t(last_raw_));
  if (textless_raw_ > 0) map.add(0, int32_t(textless_raw_));
  last_.clear();
  last_raw_ = textless_raw_ = 0;
}

// iconv gets one byte more at a time, and room for all that it may give: with room for one character only, glibc's
// EUC-JISX0213 and SHIFT_JISX0213 give the second half of a pair again and again.
int64_t TextDecoder::step(size_t at, std::string& text, OffsetMap& map) {
  uint32_t points[kMostPoints];
  const size_t n_left = pending_.size() - at;
  for (size_t n = unit_bytes_; n <= std::min(n_left, kMostCharacterBytes); ++n) {
    char *in = pending_.data() + at, *out = reinterpret_cast<char*>(points);
    size_t left = n, room = sizeof(points);
    const size_t result = iconv(iconv_->handle, &in, &left, &out, &room);
    const int error = result == size_t(-1) ? errno : 0;
    const size_t n_points = (sizeof(points) - room) / sizeof(uint32_t);
    if (!are_characters(points, n_points)) return -1;
    if (left < n || n_points > 0) put(points, n_points, int64_t(n - std::min(n, left)), text, map);
    if (left < n) return int64_t(n - left);
    if (error != EINVAL) return -1;
  }
  return n_left > kMostCharacterBytes ? -1 : 0;
}

void TextDecoder::put_kept_back(std::string& text, OffsetMap& map) {
  uint32_t points[kMostPoints];
  char* out = reinterpret_cast<char*>(points);
  size_t room = sizeof(points);
  (void)iconv(iconv_->handle, nullptr, nullptr, &out, &room);
  const size_t n_points = (sizeof(points) - room) / sizeof(uint32_t);
  if (n_points == 0 || !are_characters(points, n_points)) return;
  // It came with the bytes taken last, which gave the letter before it, if any.
  const int64_t n_raw = textless_raw_ == 0 ? std::exchange(last_raw_, 0) : 0;
  put(points, n_points, n_raw, text, map);
}

Status TextDecoder::bad(size_t at, bool cut) const {
  const int64_t byte = n_decoded_ + int64_t(at);
  const std::string what = cut ? fmt::format("ends within a character, at byte {}", byte)
                               : fmt::format("not {} at byte {} (0x{:02x})", encoding_, byte, uint8_t(pending_[at]));
  const Likeness like = byte == 0 ? likeness(pending_, "") : Likeness{};
  const std::string advice = like.what.empty() ? "" : fmt::format("it looks like {}: {}, or ", like.what, like.advice);
  return {Code::kBadText, fmt::format("{}: {}; {}name its right encoding", name_, what, advice)};
}

Status TextDecoder::decode(std::string_view bytes, bool at_end, std::string& text, OffsetMap& map) {
  pending_ += bytes;
  size_t at = 0;
  while (at < pending_.size()) {
    const int64_t n = step(at, text, map);
    if (n == 0 && !at_end) break;
    if (n > 0) {
      at += size_t(n);
      continue;
    }
    if (!lossy_) return bad(at, n == 0);
    if (keeps_back_) put_kept_back(text, map);
    const size_t skipped = std::min(unit_bytes_, pending_.size() - at);
    put(&kReplacement, 1, int64_t(skipped), text, map);
    at += skipped;
  }
  pending_.erase(0, at);
  n_decoded_ += int64_t(at);
  if (!at_end) return {};
  put_kept_back(text, map);
  if (!last_.empty()) last_raw_ += std::exchange(textless_raw_, 0);
  give_last(text, map);
  return {};
}

Status check_encoding(const std::string& encoding) {
  const std::string name = canonical_encoding(encoding);
  if (name.empty()) return {};
  if (is_name(name) && Iconv(kCodePoints, name).valid()) return {};
  return {Code::kUsage, fmt::format("unknown encoding '{}'; `iconv -l` lists the names, such as UTF-16, WINDOWS-1252, "
                                    "ISO-8859-1, SHIFT_JIS or GB18030",
                                    encoding.substr(0, 64))};
}

Result<std::string> to_utf8(std::string_view bytes, const std::string& encoding, const std::string& name) {
  std::string text;
  if (!canonical_encoding(encoding).empty()) {
    TRY_ASSIGN(const auto decoder, TextDecoder::create(encoding, /*lossy=*/false));
    OffsetMap map;
    TRY(decoder->begin(name));
    TRY(decoder->decode(bytes, /*at_end=*/true, text, map));
    return text;
  }
  const auto with_line = [&](size_t pos) {
    return fmt::format("{}:{}", name, 1 + std::count(bytes.begin(), bytes.begin() + ptrdiff_t(pos), '\n'));
  };
  if (const int64_t at = not_a_text(bytes, /*at_start=*/true); at >= 0)
    return not_utf8(with_line(size_t(at)), bytes, bytes, size_t(at), at);
  for (size_t pos = 0; pos < bytes.size();) {
    const Utf8Char c = decode_utf8(bytes, pos);
    if (c.kind != Utf8Char::Kind::kValid) return not_utf8(with_line(pos), bytes, bytes, pos, int64_t(pos));
    pos += c.n_bytes;
  }
  text = bytes;
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  return text;
}

}  // namespace reform
