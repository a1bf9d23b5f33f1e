#include "runtime/text/likeness.h"

#include <fmt/format.h>
#include <reform/text.h>

#include <algorithm>
#include <iterator>

namespace reform {
namespace {

using namespace std::string_view_literals;

constexpr const char* kExtract = "extract its text first";
constexpr struct {
  std::string_view begin;
  const char *what, *advice;
} kFormats[] = {
    {"%PDF-"sv, "a PDF file", "extract its text first, as with `pdftotext FILE - | reform ingest … -`"},
    {"\x7f"
     "ELF"sv,
     "an ELF program", "name a text instead"},
    {"PK\x03\x04"sv, "a zip archive, or a document in one (docx, odt, xlsx, epub)",
     "extract its text first, as with `unzip -p`, pandoc or LibreOffice"},
    {"\x1f\x8b\x08"sv, "a gzip file", "unpack it first, as with `zcat FILE | reform ingest … -`"},
    {"BZh"sv, "a bzip2 file", "unpack it first, as with `bzcat FILE | reform ingest … -`"},
    {"\xfd"
     "7zXZ\0"sv,
     "an xz file", "unpack it first, as with `xzcat FILE | reform ingest … -`"},
    {"\x28\xb5\x2f\xfd"sv, "a zstd file", "unpack it first, as with `zstdcat FILE | reform ingest … -`"},
    {"7z\xbc\xaf\x27\x1c"sv, "a 7z archive", "unpack it first"},
    {"Rar!\x1a\x07"sv, "a rar archive", "unpack it first"},
    {"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"sv, "an old Microsoft Office file", kExtract},
    {"{\\rtf"sv, "an RTF file", kExtract},
    {"SQLite format 3\0"sv, "an SQLite database", "export its text first"},
    {"GGUF"sv, "a GGUF model", "name a text instead"},
    {"\x89PNG\r\n"sv, "a PNG image", "name a text instead"},
    {"\xff\xd8\xff"sv, "a JPEG image", "name a text instead"},
    {"GIF8"sv, "a GIF image", "name a text instead"},
};
// Longer marks first: that of UTF-32 begins with that of UTF-16.
constexpr struct {
  std::string_view mark;
  const char *what, *encoding;
} kMarks[] = {
    {"\xff\xfe\0\0"sv, "UTF-32 (little-endian, with a byte order mark)", "UTF-32"},
    {"\0\0\xfe\xff"sv, "UTF-32 (big-endian, with a byte order mark)", "UTF-32"},
    {"\xff\xfe"sv, "UTF-16 (little-endian, with a byte order mark)", "UTF-16"},
    {"\xfe\xff"sv, "UTF-16 (big-endian, with a byte order mark)", "UTF-16"},
};

Likeness encoded(const std::string& what, const std::string& encoding) {
  return {what, fmt::format("--encoding {} reads it", encoding)};
}

// By where the bytes of one value class stand, in units of 2 and 4 bytes.
Likeness wide_text(std::string_view text) {
  const size_t n_units = text.size() / 4;
  if (n_units < 2) return {};
  size_t zeros[4] = {}, highs[4] = {};  // highs: the upper byte of most Chinese and Japanese characters, or a zero
  for (size_t i = 0; i < n_units * 4; ++i) {
    const auto c = uint8_t(text[i]);
    zeros[i % 4] += c == 0;
    highs[i % 4] += c == 0 || c == 0x30 || (c >= 0x4e && c <= 0x9f) || c == 0xff;
  }
  const auto most = [&](size_t count) { return count * 10 > n_units * 9; };
  const auto few = [&](size_t count) { return count * 10 < n_units * 6; };
  if (most(zeros[3]) && most(zeros[2]) && few(zeros[0])) return encoded("UTF-32 (little-endian)", "UTF-32LE");
  if (most(zeros[0]) && most(zeros[1]) && few(zeros[3])) return encoded("UTF-32 (big-endian)", "UTF-32BE");
  const auto half = [&](size_t count) { return count * 2 > n_units; };
  if (half(zeros[1]) && half(zeros[3]) && few(zeros[0]) && few(zeros[2]))
    return encoded("UTF-16 (little-endian)", "UTF-16LE");
  if (half(zeros[0]) && half(zeros[2]) && few(zeros[1]) && few(zeros[3]))
    return encoded("UTF-16 (big-endian)", "UTF-16BE");
  if (most(highs[1]) && most(highs[3]) && few(highs[0]) && few(highs[2]))
    return encoded("UTF-16 (little-endian)", "UTF-16LE");
  if (most(highs[0]) && most(highs[2]) && few(highs[1]) && few(highs[3]))
    return encoded("UTF-16 (big-endian)", "UTF-16BE");
  return {};
}

// A text may well begin with GGUF or BZh.
bool may_begin_a_text(std::string_view mark) {
  const bool printable = std::all_of(mark.begin(), mark.end(), [](char c) { return c >= ' ' && c <= '~'; });
  return printable && mark != "%PDF-" && mark != "{\\rtf";
}

bool begins_as_no_text(std::string_view bytes) {
  return std::any_of(std::begin(kFormats), std::end(kFormats), [&](const auto& format) {
    return bytes.starts_with(format.begin) && !may_begin_a_text(format.begin);
  });
}

// Other control characters than white space, backspace and escape are a tenth of compressed data.
bool is_rare_in_text(char c) { return (uint8_t(c) < 0x20 && (c < '\b' || c > '\r') && c != 0x1b) || c == 0x7f; }

bool has_many_rare(std::string_view bytes) {
  return std::count_if(bytes.begin(), bytes.end(), is_rare_in_text) * 32 > int64_t(bytes.size());
}

// Texts of one byte a character: few of them over 0x7f, each mostly alone among letters.
Likeness narrow_text(std::string_view text) {
  size_t n_high = 0, n_c1 = 0, n_alone = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = uint8_t(text[i]);
    if (c < 0x80) continue;
    ++n_high;
    n_c1 += c < 0xa0;
    const bool before = i > 0 && uint8_t(text[i - 1]) >= 0x80,
               after = i + 1 < text.size() && uint8_t(text[i + 1]) >= 0x80;
    n_alone += !before && !after;
  }
  if (has_many_rare(text)) return {"binary data", "name a text instead"};
  if (n_alone * 2 < n_high)
    return {"", "name its encoding with --encoding (such as SHIFT_JIS, GB18030, EUC-KR, WINDOWS-1251; `iconv -l`)"};
  return encoded(n_c1 > 0 ? "Windows-1252" : "Latin-1 or Windows-1252", "WINDOWS-1252");
}

}  // namespace

Likeness likeness(std::string_view start, std::string_view near) {
  for (const auto& format : kFormats)
    if (start.starts_with(format.begin)) return {format.what, format.advice};
  for (const auto& mark : kMarks)
    if (start.starts_with(mark.mark)) return encoded(mark.what, mark.encoding);
  if (Likeness wide = wide_text(start); !wide.what.empty()) return wide;
  if (near.empty()) return {"", "name its encoding with --encoding (`iconv -l` lists them)"};
  if (near.find('\0') != std::string_view::npos) return {"binary data", "name a text instead"};
  return narrow_text(near);
}

int64_t not_a_text(std::string_view block, bool at_start) {
  constexpr int64_t kFewNuls = 8;  // fewer say nothing
  const auto has_mark = [&](const auto& row) { return block.starts_with(row.mark); };
  if (at_start && std::any_of(std::begin(kMarks), std::end(kMarks), has_mark)) return 0;
  const int64_t n_nuls = std::count(block.begin(), block.end(), '\0');
  if (n_nuls >= kFewNuls && n_nuls * 10 > int64_t(block.size())) return int64_t(block.find('\0'));
  return at_start && begins_as_no_text(block) ? 0 : -1;
}

// Stricter than not_a_text(), which decides on what was named: a single NUL is enough.
bool looks_binary(std::string_view head, const std::string& encoding) {
  if (begins_as_no_text(head)) return true;
  return is_utf8(encoding) && (head.find('\0') != std::string_view::npos || has_many_rare(head));
}

Status not_utf8(const std::string& name, std::string_view start, std::string_view block, size_t pos, int64_t byte) {
  const size_t from = pos - std::min(pos, kLikenessBytes / 2);
  const Likeness like = likeness(start.substr(0, kLikenessBytes), block.substr(from, kLikenessBytes));
  const std::string looks = like.what.empty() ? "" : fmt::format("it looks like {}: ", like.what);
  // A NUL is valid UTF-8: it was their number.
  const std::string found =
      block[pos] != '\0'
          ? fmt::format("0x{:02x}", uint8_t(block[pos]))
          : fmt::format("0x00: {} of {} bytes are NULs", std::count(block.begin(), block.end(), '\0'), block.size());
  return {Code::kBadText,
          fmt::format("{}: not UTF-8 at byte {} ({}); {}{}, or convert it", name, byte, found, looks, like.advice)};
}

}  // namespace reform
