// A text in another encoding gives the tokens of its UTF-8 form, with the offsets of its own bytes.
#include <algorithm>
#include <catch2/catch.hpp>
#include <sstream>

#include "runtime/text/iconv_handle.h"
#include "runtime/text/text_decoder.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/runtime/support/late_bench.h"
#include "tests/support/take.h"

using namespace reform;
using namespace reform::test;

namespace {

std::string utf16(const std::string& text, bool mark) {
  std::string bytes = mark ? "\xff\xfe" : "";
  for (const char c : text) bytes += {c, '\0'};
  return bytes;
}

std::string ascii_text(uint64_t seed, size_t n_bytes) {
  std::string text = made_text(seed, n_bytes);
  for (char& c : text) c = uint8_t(c) < 0x80 ? c : 'x';
  return text;
}

IngestOptions encoded(const std::string& encoding, IngestOptions::OnExisting on_existing) {
  IngestOptions options = IngestBench::options("h2o");
  options.encoding = encoding;
  options.on_existing = on_existing;
  return options;
}

std::string from_utf8(std::string text, const std::string& encoding) {
  const Iconv to(encoding, "UTF-8");
  REQUIRE(to.valid());
  std::string bytes(text.size() * 4 + 64, '\0');
  char *in = text.data(), *out = bytes.data();
  size_t left = text.size(), room = bytes.size();
  REQUIRE(iconv(to.handle, &in, &left, &out, &room) != size_t(-1));
  REQUIRE(iconv(to.handle, nullptr, nullptr, &out, &room) != size_t(-1));
  bytes.resize(bytes.size() - room);
  return bytes;
}

// Whether [begin, end) of the file is exactly `text`, and begins on this line.
void check_part(const std::string& bytes, const std::string& encoding, int64_t begin, int64_t end, int64_t line,
                const std::string& text) {
  CAPTURE(encoding, begin, end);
  CHECK(take(to_utf8(bytes.substr(size_t(begin), size_t(end - begin)), encoding, "part")) == text);
  const std::string before = take(to_utf8(bytes.substr(0, size_t(begin)), encoding, "before"));
  CHECK(line == 1 + std::count(before.begin(), before.end(), '\n'));
}

constexpr auto kRefuse = IngestOptions::OnExisting::kRefuse, kAppend = IngestOptions::OnExisting::kAppend;

}  // namespace

TEST_CASE("encoding: a UTF-16 text is read as its UTF-8 form, offsets stay its own", "[runtime]") {
  IngestBench bench;
  const std::string text = ascii_text(4, 1500), more = ascii_text(5, 700);
  REQUIRE(bench.ingest("plain", {text, more}, encoded("", kRefuse)).ok());
  REQUIRE(bench.ingest("wide", {utf16(text, true), utf16(more, true)}, encoded("utf-16", kRefuse)).ok());
  const Snapshot plain = bench.snapshot("plain"), wide = bench.snapshot("wide");
  CHECK(wide.ids == plain.ids);
  CHECK(wide.rows == plain.rows);
  REQUIRE(wide.begin_bytes.size() == plain.begin_bytes.size());
  const int64_t mark = 2, border = int64_t(text.size());
  for (size_t i = 1; i < plain.begin_bytes.size(); ++i) {
    const int64_t at = plain.begin_bytes[i];
    CHECK(wide.begin_bytes[i] == 2 * at + (at > border ? 2 * mark : mark));
  }
  CHECK(wide.info.source_bytes == 2 * plain.info.source_bytes + 2 * mark);
}

TEST_CASE("encoding: an append gives what both texts at once give, also within a word", "[runtime]") {
  IngestBench bench;
  const std::string text = ascii_text(6, 900) + " unfin", more = "ished " + ascii_text(7, 500);
  REQUIRE(bench.ingest("once", {utf16(text, false), utf16(more, false)}, encoded("UTF-16LE", kRefuse)).ok());
  REQUIRE(bench.ingest("steps", {utf16(text, false)}, encoded("UTF-16LE", kRefuse)).ok());
  REQUIRE(bench.ingest("steps", {utf16(more, false)}, encoded("", kAppend)).ok());  // the context remembers
  const Snapshot once = bench.snapshot("once"), steps = bench.snapshot("steps");
  CHECK(steps.ids == once.ids);
  CHECK(steps.begin_bytes == once.begin_bytes);
  CHECK(steps.rows == once.rows);
}

TEST_CASE("encoding: another one than the context's is refused with both named", "[runtime]") {
  IngestBench bench;
  REQUIRE(bench.ingest("c", {utf16(ascii_text(8, 300), true)}, encoded("UTF-16", kRefuse)).ok());
  for (const char* other : {"windows-1252", "utf-8"}) {
    const Status status = bench.ingest("c", {"more"}, encoded(other, kAppend)).status();
    INFO(status.message);
    CHECK(status.code == Code::kUsage);
    CHECK(status.message.find("'c' was read as UTF-16") != std::string::npos);
    CHECK(status.message.find(other == std::string("utf-8") ? "says UTF-8" : "says WINDOWS-1252") != std::string::npos);
  }
  CHECK(take(bench.store().find("c")).settings_json.find("\"encoding\":\"UTF-16\"") != std::string::npos);
  CHECK(bench.ingest("c", {utf16("more", true)}, encoded("utf16", kAppend)).ok());  // another name of it
  CHECK(bench.ingest("bad", {"a"}, encoded("no-such", kRefuse)).status().code == Code::kUsage);
}

TEST_CASE("encoding: a source and its best part are whole characters, on the lines they say", "[runtime]") {
  std::string text;  // of characters that are several tokens each
  for (int i = 0; i < 60; ++i) text += i % 7 == 0 ? "國王 😀石頭 橋。\n" : "河冬天夏 信" + std::to_string(i) + "醫生 ";
  for (const char* encoding : {"UTF-16LE", "UTF-32BE", "GB18030"}) {
    IngestBench bench;
    bench.use_heads(kWithMaps);
    const std::string bytes = from_utf8(text, encoding);
    REQUIRE(bench.ingest("c", {bytes}, encoded(encoding, kRefuse)).ok());
    for (const int64_t gather_tokens : {64, 200, 2048}) {
      const auto found = take(search(bench.engine(), bench.store(), {"c"}, "國王 橋?", gathering(gather_tokens)));
      REQUIRE(!found.sources.empty());
      for (const Source& s : found.sources) {
        check_part(bytes, encoding, s.begin_byte, s.end_byte, s.begin_line, s.text);
        check_part(bytes, encoding, s.best.begin_byte, s.best.end_byte, s.best.begin_line,
                   s.text.substr(s.best.text_begin, s.best.text_bytes));
      }
    }
  }
}

TEST_CASE("encoding: a file that ends in another state takes nothing of the next file's text", "[runtime]") {
  const struct {
    const char* encoding;
    std::string texts[2];
  } rows[] = {{"UTF-7", {"дом", "\nriver\nstone"}},
              {"ISO-2022-JP", {"手紙 石", "\nNorth\n手紙"}},
              {"ISO-2022-JP-2", {"石 γ", "\n\n石"}},
              {"ISO-2022-CN", {"信 石", "\nNorth 石"}},
              {"CP1258", {"Nam a", "\nđ\na"}}};
  for (const auto& row : rows) {
    IngestBench bench;
    const std::vector<std::string> files = {from_utf8(row.texts[0], row.encoding),
                                            from_utf8(row.texts[1], row.encoding)};
    REQUIRE(bench.ingest_files("once", files, encoded(row.encoding, kRefuse)).ok());
    REQUIRE(bench.ingest_files("steps", {files[0]}, encoded(row.encoding, kRefuse)).ok());
    REQUIRE(bench.ingest_files("steps", {files[1]}, encoded("", kAppend)).ok());
    for (const char* name : {"once", "steps"}) {
      const auto found = take(search(bench.engine(), bench.store(), {name}, "石?", gathering(2048)));
      CAPTURE(row.encoding, name);
      REQUIRE(found.sources.size() == 2);
      for (size_t i = 0; i < 2; ++i) {
        CHECK(found.sources[i].text == row.texts[i]);
        CHECK(found.sources[i].begin_byte == 0);
        CHECK(found.sources[i].end_byte == int64_t(files[i].size()));
        CHECK(found.sources[i].begin_line == 1);
      }
    }
  }
}
