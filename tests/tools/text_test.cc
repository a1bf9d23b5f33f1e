#include "tools/text.h"

#include <catch2/catch.hpp>

using namespace reform;
using namespace reform::tool;

TEST_CASE("sizes are read with and without binary suffixes, and nothing else passes for one", "[tools]") {
  const struct {
    const char* text;
    int64_t bytes;
  } good[] = {{"0", 0},
              {"4096", 4096},
              {"7B", 7},
              {"3KiB", 3072},
              {"512MiB", int64_t(512) << 20},
              {"1.5GiB", int64_t(3) << 29},
              {"2 GiB", int64_t(2) << 30},
              {"800M", int64_t(800) << 20},
              {"0.0KiB", 0},
              {"0.001KiB", 1},
              {"010", 10},
              {"9007199254740993", 9007199254740993},
              {"1TiB", int64_t(1) << 40}};
  for (const auto& [text, bytes] : good) {
    INFO(text);
    const Result<int64_t> parsed = parse_size(text);
    REQUIRE(parsed.ok());
    CHECK(parsed.value() == bytes);
  }
  for (const char* text : {"",
                           "MiB",
                           "-1",
                           "1.5",
                           "12XB",
                           "12MB",
                           "12 MiB!",
                           "nan",
                           "inf",
                           "1e400",
                           "9999999999TiB",
                           "0.0000001KiB",
                           "5.",
                           "5.KiB",
                           ".5",
                           ".5KiB",
                           "5 ",
                           " 5",
                           "1.0",
                           "1.0B",
                           "1.5.5KiB",
                           "+5",
                           "9223372036854775808",
                           "1 K i B"}) {
    INFO(text);
    CHECK(parse_size(text).status().code == Code::kUsage);
  }
}

TEST_CASE("numbers, sizes and times read well at every magnitude", "[tools]") {
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(1000) == "1,000");
  CHECK(format_count(-123456) == "-123,456");
  CHECK(format_count(1234567) == "1,234,567");
  CHECK(format_bytes(1023) == "1023 B");
  CHECK(format_bytes(1536) == "1.5 KiB");
  CHECK(format_bytes((1 << 20) - 1) == "1.0 MiB");
  CHECK(format_bytes(int64_t(5) << 28) == "1.25 GiB");
  CHECK(format_duration(-1) == "?");
  CHECK(format_duration(0.415) == "0.41 s");
  CHECK(format_duration(59.96) == "1:00");
  CHECK(format_duration(3599.6) == "1:00:00");
  CHECK(format_duration(7384) == "2:03:04");
}

TEST_CASE("what a context takes on disk is all of it, per token too, and the checkpoints' part is named", "[tools]") {
  ContextInfo context;
  context.disk_bytes = 60 << 20, context.checkpoint_bytes = 54 << 20, context.bytes_per_token = 6553.6;
  CHECK(format_disk(context) == "60.0 MiB, 6,554 bytes per token; 54.0 MiB of it checkpoints");
  context.checkpoint_bytes = 0;
  CHECK(format_disk(context) == "60.0 MiB, 6,554 bytes per token");
}

TEST_CASE("control characters never reach the terminal, other characters always do", "[tools]") {
  CHECK(printable("a\x1b[31mb\x7f", true) == "a[31mb");
  CHECK(printable("a\nb\tc\r", true) == "a\nb\tc");
  CHECK(printable("a\nb", false) == "a b");
  CHECK(printable("x\xc2\x9b"
                  "1my",
                  true) == "x1my");  // the C1 form of ESC [
  CHECK(printable("a\u202etxt.exe\u2066b\u2069c\u200d", true) == "atxt.exebc\u200d");
  CHECK(printable("\xe2\x80", true) == "\xe2\x80");
  CHECK(printable("é\xc2\xa0日本😀\xff", true) == "é\xc2\xa0日本😀\xff");
}

TEST_CASE("a quote is one line, never longer than asked, and never splits a character", "[tools]") {
  CHECK(quote("  two\n\n words \t", 40) == "two words");
  CHECK(quote("abcdefghij", 10) == "abcdefghij");
  CHECK(quote("abcdefghijk", 10) == "abcdef…ijk");
  std::string text;
  for (int i = 0; i < 50; ++i) text += "日é😀x";
  for (int width = 2; width < 60; ++width) {
    const std::string shown = quote(text, width);
    CHECK(display_width(shown) == width);
    CHECK(shown.find("…") != std::string::npos);
  }
  CHECK(display_width("日é😀x") == 4);
}
