// Texts in other encodings: characters, the bytes that each came from, and what wrong bytes are told to look like.
#include <reform/text.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/text/character_bytes.h"
#include "runtime/text/iconv_handle.h"
#include "runtime/text/likeness.h"
#include "runtime/text/text_decoder.h"
#include "runtime/tokenizer/unicode.h"
#include "tests/support/take.h"

using namespace reform;
using test::take;
using namespace std::string_literals;

namespace {

struct Row {
  const char* encoding;
  std::string bytes, text;
  std::vector<int64_t> ends;  // in `bytes`, of each byte of `text`: that of the last character that ends there; {}:
                              // iconv counts escapes to either neighbour
};

const Row kRows[] = {
    {"windows-1252", "a\xe9\x80z", "aé€z", {1, 1, 2, 2, 2, 3, 4}},
    {"UTF-16",
     "\xff\xfe"
     "a\0"
     "\xe9\0"s,
     "aé",
     {4, 4, 6}},
    {"UTF-16", "\xfe\xff\0a\0\xe9"s, "aé", {4, 4, 6}},
    {"utf-16le",
     "a\0\x3d\xd8\x00\xde"
     "b\0"s,
     "a😀b",
     {2, 2, 2, 2, 6, 8}},
    {"UTF-32BE", "\0\0\0a\0\x01\xf6\0"s, "a😀", {4, 4, 4, 4, 8}},
    {"SHIFT_JIS", "a\x93\x8c", "a東", {1, 1, 1, 3}},
    {"ISO-2022-JP", "a\x1b$B\x45\x6c\x1b(Bb", "a東b", {}},
};

Status decode(const std::string& encoding, std::string_view bytes, size_t piece, bool lossy, std::string& text,
              OffsetMap& map) {
  auto decoder = take(TextDecoder::create(encoding, lossy));
  Status status = decoder->begin("f");
  for (size_t at = 0; at < bytes.size() && status.ok(); at += piece)
    status = decoder->decode(bytes.substr(at, piece), false, text, map);
  return status.ok() ? decoder->decode("", true, text, map) : status;
}

Status decode_in_two(const std::string& encoding, std::string_view bytes, size_t cut, bool lossy, std::string& text,
                     OffsetMap& map) {
  auto decoder = take(TextDecoder::create(encoding, lossy));
  Status status = decoder->begin("f");
  if (status.ok()) status = decoder->decode(bytes.substr(0, cut), false, text, map);
  return status.ok() ? decoder->decode(bytes.substr(cut), true, text, map) : status;
}

// All of it in one call, as iconv(1) does. "": it cannot be converted.
std::string convert(std::string bytes, const std::string& to, const std::string& from) {
  const Iconv iconv_of(to, from);
  REQUIRE(iconv_of.valid());
  std::string converted(bytes.size() * 8 + 64, '\0');
  char *in = bytes.data(), *out = converted.data();
  size_t left = bytes.size(), room = converted.size();
  if (iconv(iconv_of.handle, &in, &left, &out, &room) == size_t(-1)) return "";
  if (iconv(iconv_of.handle, nullptr, nullptr, &out, &room) == size_t(-1)) return "";
  converted.resize(converted.size() - room);
  return converted;
}

std::string from_utf8(const std::string& text, const std::string& encoding) { return convert(text, encoding, "UTF-8"); }

std::string by_iconv(const std::string& bytes, const std::string& encoding) {
  return convert(bytes, "UTF-8", encoding);
}

}  // namespace

TEST_CASE("encoding: characters and their bytes are the same however the file is cut into blocks", "[text]") {
  for (const Row& row : kRows) {
    for (size_t piece = 1; piece <= row.bytes.size(); ++piece) {
      INFO(row.encoding << " in pieces of " << piece);
      std::string text;
      OffsetMap map;
      REQUIRE(decode(row.encoding, row.bytes, piece, false, text, map).ok());
      REQUIRE(text == row.text);
      int64_t end = 0;
      for (size_t i = 0; i < text.size(); ++i) {
        end += map.take(1);
        if (!row.ends.empty()) CHECK(end == row.ends[i]);
      }
      CHECK(end == int64_t(row.bytes.size()));
    }
    CHECK(take(to_utf8(row.bytes, row.encoding, "f")) == row.text);
  }
}

TEST_CASE("encoding: bytes that are not in it are refused by offset, or read as U+FFFD", "[text]") {
  const struct {
    const char* encoding;
    std::string bytes;
    const char* says;
    std::string lossy;
  } rows[] = {
      {"WINDOWS-1252",
       "ab\x81"
       "c",
       "f: not WINDOWS-1252 at byte 2 (0x81)",
       "ab\xef\xbf\xbd"
       "c"},
      {"UTF-16LE",
       "a\0\0\xdc"
       "b\0"s,
       "f: not UTF-16LE at byte 2 (0x00)",
       "a\xef\xbf\xbd"
       "b"},
      {"UTF-16LE", "a\0b"s, "f: ends within a character, at byte 2", "a\xef\xbf\xbd"},
      {"ASCII", "caf\xc3\xa9", "f: not ASCII at byte 3 (0xc3)", "caf\xef\xbf\xbd\xef\xbf\xbd"},
  };
  for (const auto& row : rows) {
    std::string strict, lossy;
    OffsetMap map, lossy_map;
    const Status status = decode(row.encoding, row.bytes, 3, false, strict, map);
    INFO(status.message);
    CHECK(status.code == Code::kBadText);
    CHECK(status.message.find(row.says) == 0);
    REQUIRE(decode(row.encoding, row.bytes, 3, true, lossy, lossy_map).ok());
    CHECK(lossy == row.lossy);
    CHECK(lossy_map.take(int64_t(lossy.size())) == int64_t(row.bytes.size()));
  }
}

TEST_CASE("encoding: a letter that iconv keeps back for its mark comes out once, in its place", "[text]") {
  // As `iconv` gives them. The last letter of each could still get a mark, or is a pair.
  const struct {
    const char *encoding, *utf8;
  } rows[] = {
      {"WINDOWS-1255", "שלוֹם עולם, אב ו"},
      {"WINDOWS-1258", "Việt Nam đẹp quá a"},
      {"TCVN", "Việt Nam đẹp quá a"},
      {"EUC-JISX0213", "か゚あ きか゚、か"},
      {"EUC-JISX0213", "あか゚"},
      {"SHIFT_JISX0213", "か゚あ きか゚、か"},
      {"SHIFT_JISX0213", "あか゚"},
      {"TSCII", "கொ தமிழ் கௌ க"},
      {"BIG5-HKSCS", "Ê̄ê 東 ê̌Ê"},
  };
  for (const auto& row : rows) {
    const std::string bytes = from_utf8(row.utf8, row.encoding), whole = by_iconv(bytes, row.encoding);
    REQUIRE(!whole.empty());
    for (const bool lossy : {false, true}) {
      for (size_t cut = 0; cut <= bytes.size(); ++cut) {
        INFO(row.encoding << " cut at " << cut << ", lossy: " << lossy);
        std::string text;
        OffsetMap map;
        REQUIRE(decode_in_two(row.encoding, bytes, cut, lossy, text, map).ok());
        REQUIRE(text == whole);
        CHECK(map.take(int64_t(text.size())) == int64_t(bytes.size()));
        CHECK(map.left().empty());
      }
    }
  }
}

TEST_CASE("encoding: U+FFFD for a wrong byte stands behind a letter that iconv kept back", "[text]") {
  std::string text;
  OffsetMap map;
  REQUIRE(decode("WINDOWS-1258",
                 "xa\xd2"
                 "a\xd2",
                 1, true, text, map)
              .ok());
  CHECK(text == "xảả");
  const struct {
    const char* encoding;
    std::string bytes, text;
  } rows[] = {{"WINDOWS-1255", "\xe5\xd9\xe5"s, "ו\xef\xbf\xbdו"},
              {"EUC-JISX0213", "\xa4\xab\xff\xa4\xab"s, "か\xef\xbf\xbdか"},
              {"EUC-JISX0213", "\xa4\xf7\xa4"s, "か゚\xef\xbf\xbd"},
              // A shift to Japanese outlasts an error.
              {"ISO-2022-JP", "\x1b$B\x45\x6c\xff\x45\x6c\x1b(Bb"s, "東\xef\xbf\xbd東b"}};
  for (const auto& row : rows) {
    for (size_t piece = 1; piece <= row.bytes.size(); ++piece) {
      INFO(row.encoding << " in pieces of " << piece);
      std::string lossy;
      OffsetMap lossy_map;
      REQUIRE(decode(row.encoding, row.bytes, piece, true, lossy, lossy_map).ok());
      CHECK(lossy == row.text);
      CHECK(lossy_map.take(int64_t(lossy.size())) == int64_t(row.bytes.size()));
    }
  }
}

TEST_CASE("encoding: a name that the system does not know is refused with a hint", "[text]") {
  for (const char* name : {"latin-nine", "/", "UTF-16//IGNORE", "../../x", "UTF-16\n", " "}) {
    const Status status = check_encoding(name);
    CHECK(status.code == Code::kUsage);
    CHECK(status.message.find("iconv -l") != std::string::npos);
  }
  for (const char* name : {"", "utf-8", "UTF8", "utf-16", "ISO-8859-1", "ISO_8859-1:1987"})
    CHECK(check_encoding(name).ok());
}

TEST_CASE("encoding: bytes that are not UTF-8 are told by what they look like", "[text]") {
  std::string le, be, le32, cjk;
  for (const char c : "Plain words, some of them long, on a line.\n"s) {
    le += {c, '\0'}, be += {'\0', c}, le32 += {c, '\0', '\0', '\0'};
    cjk += {char(c * 37), '\x5e'};
  }
  const struct {
    std::string bytes;
    const char *at, *says;
  } rows[] = {
      {"\xff\xfe" + le, "byte 0 ", "--encoding UTF-16 "},
      {"\xfe\xff" + be, "byte 0 ", "--encoding UTF-16 "},
      {"\xff\xfe\0\0"s + le32, "byte 0 ", "--encoding UTF-32 "},
      {le, "byte 1 ", "--encoding UTF-16LE "},
      {be, "byte 0 ", "--encoding UTF-16BE "},
      {le32, "byte 1 ", "--encoding UTF-32LE "},
      {cjk, "byte ", "--encoding UTF-16LE "},
      {"caf\xe9 cr\xe8me", "byte 3 ", "--encoding WINDOWS-1252 "},
      {"it\x92s", "byte 2 ", "like Windows-1252: "},
      {"\x93\x8c\x8b\x9e\x82\xcd", "byte 0 ", "SHIFT_JIS"},
      {"%PDF-1.7\n", "byte 0 ", "a PDF file"},
      {"PK\x03\x04\x14", "byte 0 ", "a zip archive"},
      {"\x1f\x8b\x08", "byte 0 ", "zcat"},
      {"\x7f"
       "ELF\x02\x01\x01" +
           std::string(9, '\0'),
       "byte ", "an ELF program"},
      {"note\n" + std::string(500, '\0'), "byte 5 ", "binary data"},
      {"note\n" + std::string(500, '\0'), "byte 5 ", "(0x00: 500 of 505 bytes are NULs)"},
      {"ab\x01\x02\x03\x04\xfe\x05\x06", "byte 6 ", "binary data"},
  };
  for (const auto& row : rows) {
    const Status status = to_utf8(row.bytes, "", "f").status();
    INFO(status.message);
    CHECK(status.code == Code::kBadText);
    CHECK(status.message.find(row.bytes.starts_with("note\n") ? "f:2: not UTF-8 at "s + row.at
                                                              : "f:1: not UTF-8 at "s + row.at) == 0);
    CHECK(status.message.find(row.says) != std::string::npos);
  }
  for (const std::string& text : {"GGUF is a format"s, "BZh"s, "one \0 NUL"s, "\xef\xbb\xbfmarked"s, "é"s, ""s})
    CHECK(to_utf8(text, "", "f").ok());
  CHECK(take(to_utf8("\xef\xbb\xbfmarked", "", "f")) == "marked");
}

TEST_CASE("text: what is left out of many files as binary, and what is not", "[text]") {
  std::string noise;
  for (int i = 0; i < 999; ++i) noise += char(1 + i * 7919 % 255);
  for (const std::string& bytes : {noise, "a\0b"s, "%PDF-1.7 and words"s, "PK\x03\x04 words"s, "\x1f\x8b\x08 words"s}) {
    INFO(bytes.substr(0, 20));
    CHECK(looks_binary(bytes, ""));
    CHECK(looks_binary(bytes, "utf8"));
  }
  for (const std::string& bytes :
       {"words"s, ""s, "GGUF is a format"s, "BZh\n"s, "\x1b[1mbold\x1b[0m\f\v\b"s, "\xe9t\xe9"s})
    CHECK(!looks_binary(bytes, ""));
  // Another encoding may have NULs; a format's mark stays one.
  CHECK(!looks_binary("a\0b\0"s, "UTF-16LE"));
  CHECK(looks_binary("%PDF-1.7\0"s, "UTF-16LE"));
  CHECK(!has_text(" \t\r\n\v\f\u00a0\ufeff\0\u200b"s, ""));
  CHECK(has_text("\n x", ""));
  CHECK(has_text("\n\xe2", ""));  // no blank, but a cut character
  // As bytes these letters of Gurmukhi are control characters, and EBCDIC's space is an @.
  CHECK(has_text("\x06\x0a\x07\x0a", "UTF-16LE"));
  CHECK(!has_text(" \0\0\0"s, "UTF-16LE"));
  CHECK(!has_text("@@@", "EBCDIC-US"));
}

TEST_CASE("a text of spaces of any kind and of characters that do not show is blank", "[runtime][text]") {
  for (const std::string& text : {""s, " \t\r\n"s, "\u2003"s, "\u00a0"s, "\u3000 \u2028"s, "\u200b"s, "\ufeff"s,
                                  " \u2060\u200d"s, "\0\0\0"s, "\x1b\x7f\u0085"s, "\u00ad\u034f\u061c"s, "\ufe0f"s})
    CHECK(is_blank(text));
  for (const char* text : {"a", "\u200b?", "\u00a0…", "\xff", "\xe2\x80", "😀"}) CHECK_FALSE(is_blank(text));
}

TEST_CASE("encoding: a token across the border of two files is cut where the first one ends", "[text]") {
  // Files of one encoding, as one text, cut at each pair of characters as if that were a token.
  const std::vector<std::string> files = {"k", "in", "crée", "ß漢字", "\n", "a\n\nb", "😀é", "T"};
  for (const char* encoding :
       {"", "UTF-16LE", "UTF-16BE", "UTF-32LE", "ISO-8859-1", "WINDOWS-1252", "SHIFT_JIS", "GB18030", "EUC-JP"}) {
    for (const bool marks : {false, true}) {
      if (marks && std::string_view(encoding).substr(0, 3) != "UTF") continue;
      std::string text;
      std::vector<int64_t> begins, raw = {0};  // after each byte of the text
      std::vector<size_t> text_begins;
      for (const std::string& file : files) {
        const auto n_raw = [&](const std::string& s) {
          return int64_t(*encoding == 0 ? s.size() : from_utf8(s, encoding).size());
        };
        if (n_raw(file) == 0) continue;
        begins.push_back(raw.back());
        text_begins.push_back(text.size());
        std::string character;
        for (size_t i = 0; i < file.size(); ++i) {
          character += file[i];
          const bool is_whole = open_tail_bytes(character) == 0;
          const int64_t mark =
              marks && is_whole && text.size() + 1 - character.size() == text_begins.back() ? n_raw("a") : 0;
          raw.push_back(raw.back() + (is_whole ? n_raw(character) + mark : 0));
          text += file[i];
          if (is_whole) character.clear();
        }
      }
      const CharacterBytes characters(encoding, begins);
      for (size_t from = 0; from < text.size(); ++from) {
        for (size_t to = from + 1; to <= std::min(text.size(), from + 9); ++to) {
          if (open_tail_bytes(text.substr(0, from)) > 0 || open_tail_bytes(text.substr(0, to)) > 0) continue;
          for (size_t f = 0; f < begins.size(); ++f) {
            if (text_begins[f] <= from || text_begins[f] >= to) continue;
            INFO(encoding << (marks ? " with marks: " : ": ") << text.substr(from, to - from) << " at " << files[f]);
            CHECK(characters.text_before(text.substr(from, to - from), {raw[from], raw[to]}, begins[f]) ==
                  text_begins[f] - from);
          }
        }
      }
    }
  }
}

TEST_CASE("encoding: a token across a border may hold what was invalid, or a part of a character", "[text]") {
  const CharacterBytes utf8("", {0, 2}), utf16("UTF-16LE", {0, 4});
  CHECK(utf8.text_before("a\xef\xbf\xbdz", {0, 3}, 2) == 4);  // one invalid byte
  CHECK(utf8.text_before("a\xef\xbf\xbdz", {0, 5}, 2) == 1);  // a U+FFFD of the second file's
  CHECK(utf16.text_before("\xa9z", {2, 6}, 4) == 1);          // the end of a character
  CHECK(utf16.text_before("a", {2, 4}, 4) == 1);
}
