#include "runtime/text/source_reader.h"

#include <catch2/catch.hpp>
#include <sstream>

using namespace reform;

namespace {

Status read_all(const std::string& a, const std::string& b, bool lossy, std::string& text,
                std::vector<SourceFile>& files) {
  std::istringstream one(a), two(b);
  auto reader = SourceReader::open({{"one", &one}, {"two", &two}}, 100, lossy);
  for (;;) {
    auto block = reader.value()->next();
    if (!block.ok()) return block.status();
    if (block.value().empty()) break;
    text += block.value();
  }
  files = reader.value()->files();
  return {};
}

}  // namespace

TEST_CASE("several sources are one text, each with its place", "[runtime]") {
  std::string text;
  std::vector<SourceFile> files;
  REQUIRE(read_all("héllo", std::string(600000, 'x'), false, text, files).ok());
  CHECK(text.size() == 600006);
  REQUIRE(files.size() == 2);
  CHECK((files[1].name == "two" && files[1].begin_byte == 106 && files[1].size_bytes == 600000));
}

TEST_CASE("reading stops at the next block once it is cancelled", "[runtime]") {
  std::istringstream text(std::string(1'000'000, 'x'));
  CancelToken cancel;
  auto reader = SourceReader::open({{"text", &text}}, 0, false, &cancel);
  CHECK(reader.value()->next().value().size() < 1'000'000);
  cancel.cancel();
  CHECK(reader.value()->next().status().code == Code::kCancelled);
}

TEST_CASE("invalid UTF-8 is named by file and byte, wherever the blocks are cut", "[runtime]") {
  std::string text;
  std::vector<SourceFile> files;
  for (const size_t before : {size_t(0), size_t(5), size_t(262143), size_t(262144), size_t(262145)}) {
    const Status s = read_all("fine", std::string(before, 'a') + "\xe2\x82" + "z", false, text, files);
    CAPTURE(before, s.message);
    CHECK(s.code == Code::kBadText);
    CHECK(s.message.find("two: not UTF-8 at byte " + std::to_string(before) + " ") == 0);
  }
  // The reader, which knows the file, also tells whether its last bytes are the start of a character.
  for (const char* tail : {"\xff", "\xc1", "\xe0\x80", "\xed\xa0", "\xf4\x90", "\xf0\x80\x80", "\xe2\x82"}) {
    std::istringstream stream(std::string("abc") + tail);
    auto reader = SourceReader::open({{"one", &stream}}, 0, false);
    auto block = reader.value()->next();
    const bool is_start = std::string(tail) == "\xe2\x82";
    CHECK(block.ok() == is_start);
    if (is_start) block = reader.value()->next();
    CHECK(block.status().message.find("one: not UTF-8 at byte 3 ") == 0);
  }
  CHECK(read_all("cut at the end \xf0\x9f", "b", false, text, files).code == Code::kBadText);
  CHECK(read_all("cut at the end \xf0\x9f", "b", true, text, files).ok());
  // A character across a block border is whole.
  CHECK(read_all(std::string(262142, 'a') + "\xf0\x9f\x98\x80", "b", false, text, files).ok());
}

TEST_CASE("a missing file is known before anything is read", "[runtime]") {
  CHECK(SourceReader::open({{"/nonexistent/file", nullptr}}, 0, false).status().code == Code::kNotFound);
  CHECK(SourceReader::open({{"/", nullptr}}, 0, false).status().code == Code::kUsage);
}
