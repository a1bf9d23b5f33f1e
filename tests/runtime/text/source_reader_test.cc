#include "runtime/text/source_reader.h"

#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "tests/support/files.h"
#include "tests/support/take.h"
#include "tests/support/temp_dir.h"

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

TEST_CASE("a source without a character that shows is refused, wherever it stands", "[runtime]") {
  const std::string white = std::string(" \t\r\n\u00a0\u2028\u3000\ufeff\u200b\0\0\0", 21);
  std::string text;
  std::vector<SourceFile> files;
  for (const std::string& nothing : {std::string(), white, std::string(65'531, ' ') + white}) {
    for (const bool first : {true, false}) {
      const Status read = read_all(first ? nothing : "a", first ? "a" : nothing, true, text, files);
      CHECK(read.code == Code::kBadText);
      CHECK(read.message.find(first ? "one: " : "two: ") == 0);
      CHECK(read.message.find(nothing.empty() ? "empty" : "white space alone") != std::string::npos);
    }
    test::TempDir dir;
    const std::string full = dir.path("full.txt"), none = dir.path("none.txt");
    std::ofstream(full) << white << "a";
    std::ofstream(none) << nothing;
    // A file is refused before the one in front of it is read.
    CHECK(SourceReader::open({{full}, {none}}, 0, false).status().code == Code::kBadText);
    CHECK(SourceReader::open({{full}}, 0, false).status().code == Code::kOk);
    // One that the caller has seen text in is not looked at again.
    CHECK(SourceReader::open({{none, nullptr, /*seen=*/true}}, 0, false).status().code == Code::kOk);
  }
}

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

TEST_CASE("a file that changes while it is read is an error that says how", "[runtime]") {
  const test::TempDir dir;
  const std::string path = dir.path() + "/text";
  const auto write = [](const std::string& to, size_t n_bytes) {
    std::ofstream(to, std::ios::binary) << std::string(n_bytes, 'x');
  };
  const struct {
    const char* how;
    std::function<void()> change;
  } cases[] = {{"was cut from 1000000 bytes to 300000", [&] { std::filesystem::resize_file(path, 300'000); }},
               {"was cut from 1000000 bytes to 0", [&] { std::filesystem::resize_file(path, 0); }},
               {"grew from 1000000 bytes to 1000001", [&] { std::ofstream(path, std::ios::app) << "y"; }},
               {"was written to", [&] { std::ofstream(path, std::ios::in | std::ios::out) << "y"; }},
               {"was removed or renamed", [&] { std::filesystem::remove(path); }},
               {"was replaced by another file", [&] {
                  write(path + ".new", 1'000'000);
                  std::filesystem::rename(path + ".new", path);
                }}};
  for (const auto& c : cases) {
    CAPTURE(c.how);
    for (const bool is_open : {false, true}) {
      write(path, 1'000'000);
      auto reader = test::take(SourceReader::open({{path, nullptr}}, 0, false));
      REQUIRE(reader->check_unchanged().ok());
      if (is_open) REQUIRE(test::take(reader->next()).size() == SourceReader::kMostBlockBytes);
      c.change();
      CHECK(reader->check_unchanged().message.find(path + " " + c.how + " while the text was being read") == 0);
      Status status;
      for (bool more = true; more && status.ok();) {
        const auto block = reader->next();
        status = block.status();
        more = block.ok() && !block.value().empty();
      }
      CHECK(status.code == Code::kBadText);
    }
  }
}

TEST_CASE("files are opened one at a time, however many there are", "[runtime]") {
  const test::TempDir dir;
  std::vector<IngestSource> sources;
  for (int i = 0; i < 300; ++i) {
    sources.push_back({dir.path() + "/" + std::to_string(i), nullptr});
    std::ofstream(sources.back().path) << i << " ";
  }
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit few{64, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  auto reader = SourceReader::open(sources, 0, false);
  std::string text;
  while (reader.ok()) {
    const auto block = reader.value()->next();
    REQUIRE(block.ok());
    if (block.value().empty()) break;
    text += block.value();
  }
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE(reader.ok());
  CHECK(reader.value()->files().size() == 300);
  CHECK(text.ends_with("298 299 "));
}

TEST_CASE("what cannot be opened says why", "[runtime]") {
  const test::TempDir dir;
  const std::string a = dir.path() + "/a", b = dir.path() + "/b";
  std::filesystem::create_symlink(a, b);
  std::filesystem::create_symlink(b, a);
  const Status circle = SourceReader::open({{a, nullptr}}, 0, false).status();
  CHECK(circle.code == Code::kIo);
  CHECK(circle.message == a + ": its symbolic links lead in a circle");
  const Status through_a_file = SourceReader::open({{"/etc/passwd/x", nullptr}}, 0, false).status();
  CHECK(through_a_file.code == Code::kNotFound);
}
