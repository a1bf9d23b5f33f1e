// Reading a text takes no more memory than it says beforehand, whatever the text is.
#include <malloc.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>
#include <string>

#include "base/memory.h"
#include "runtime/model/gguf.h"
#include "runtime/text/token_pump.h"
#include "tests/runtime/support/model_support.h"
#include "tests/support/skip.h"
#include "tests/support/take.h"

using namespace reform;
using test::take;

namespace {

// Peaks are counted from here on. What was freed must not serve again uncounted.
bool forget_peak() {
  ::malloc_trim(0);
  std::ofstream clear("/proc/self/clear_refs");
  return bool(clear << "5" << std::flush);
}

std::string repeated(std::string_view piece, size_t n_bytes) {
  std::string text;
  while (text.size() < n_bytes) text += piece;
  return text;
}

std::string random_letters(size_t n_bytes) {
  std::string text;
  uint32_t state = 1;
  while (text.size() < n_bytes) text += char('a' + (state = state * 1664525 + 1013904223) % 1000003 % 26);
  return text;
}

struct Case {
  const char* name;
  std::string bytes, encoding = "";
  bool lossy = false;
};

std::vector<Case> hostile_cases(size_t n_bytes) {
  return {{"one word", random_letters(n_bytes)},
          {"one letter", repeated("a", n_bytes)},
          {"one line", repeated("some words, ", n_bytes)},
          {"blanks", repeated(" \t", n_bytes)},
          {"blank lines", repeated("  \n", n_bytes)},
          {"new words", repeated(random_letters(20'000) + " ", 20'001) + repeated(random_letters(13) + " 1 ", n_bytes)},
          {"blanks after a line feed", repeated("\n" + repeated(" ", 100'000) + "x", n_bytes)},
          {"invalid bytes", repeated("\xff\xfe\xf0", n_bytes), "", true},
          {"changing widths", repeated(std::string("a\0\xe9\0", 4), n_bytes), "UTF-16LE"},
          {"wide blanks", repeated(std::string("\n\0 \0\x00\x30", 6), n_bytes), "UTF-16LE"}};
}

constexpr int64_t kChunk = 256;

// How much memory reading takes at its peak.
int64_t peak_of_reading(const Tokenizer& tokenizer, const Case& c) {
  std::istringstream stream(c.bytes);
  forget_peak();
  const int64_t before = process_peak_rss_bytes();
  auto reader = take(SourceReader::open({{"text", &stream}}, 0, c.lossy, nullptr, c.encoding));
  const auto pump = take(TokenPump::start(tokenizer, std::move(reader), {}, c.lossy, kChunk));
  int64_t n_tokens = 0;
  for (;;) {
    const Status filled = pump->fill(kChunk);
    INFO(filled.message);
    REQUIRE((filled.ok() || filled.message.find("white space alone") != std::string::npos));
    if (!filled.ok() || pump->waiting() == 0) break;
    n_tokens += pump->waiting();
    pump->take(pump->waiting());
  }
  CHECK(n_tokens > 100);
  return process_peak_rss_bytes() - before;
}

}  // namespace

TEST_CASE("reading: memory stays below what was reserved and does not grow, whatever the text is", "[text]") {
#ifdef REFORM_SANITIZED
  return test::skip("a sanitizer needs memory, threads and files of its own");
#endif
  if (!forget_peak()) return test::skip("this kernel does not forget a peak");
  const std::vector<Case> texts = hostile_cases(200'000), longer = hostile_cases(600'000);
  for (const char* model : {"qwen2", "gemma3"}) {
    const auto gguf = take(Gguf::open(test::tiny_path(model)));
    const auto tokenizer = take(Tokenizer::create(*gguf));
    for (size_t i = 0; i < texts.size(); ++i) {
      const bool converts = !texts[i].encoding.empty();
      const int64_t reserved = SourceReader::most_bytes({{"text"}}, converts) +
                               TokenPump::most_bytes(*tokenizer, texts[i].lossy, converts, kChunk);
      const int64_t peak = peak_of_reading(*tokenizer, texts[i]), later = peak_of_reading(*tokenizer, longer[i]);
      INFO(model << ": " << texts[i].name << ", " << peak << ", three times as long " << later << ", reserved "
                 << reserved);
      constexpr int64_t kSlack = 512 * 1024;  // of the heap itself, and pages of the program that were first used here
      CHECK(later <= reserved + kSlack);
      CHECK(later <= peak + kSlack);
    }
  }
}

TEST_CASE("reading: what cannot be read within that memory is refused by name", "[text]") {
  const auto gguf = take(Gguf::open(test::tiny_path("qwen2")));
  const auto tokenizer = take(Tokenizer::create(*gguf));
  const auto refused = [&](const std::string& bytes, const std::string& encoding) {
    std::istringstream stream(bytes);
    auto reader = take(SourceReader::open({{"text", &stream}}, 0, false, nullptr, encoding));
    const auto pump = take(TokenPump::start(*tokenizer, std::move(reader), {}, false, 256));
    Status filled;
    while ((filled = pump->fill(256)).ok() && pump->waiting() > 0) pump->take(pump->waiting());
    CHECK(filled.code == (filled.ok() ? Code::kOk : Code::kBadText));
    return filled.message;
  };
  CHECK(refused("x\n" + repeated(" ", 130'000) + "x", "") == "");
  CHECK(refused("x\n" + repeated(" ", 200'000) + "x", "").find("from byte 1 on, the text has ") == 0);
  // A blank behind an escape takes four bytes, the next one takes one.
  CHECK(
      refused("x\n" + repeated("\x1b(J  \x1b(B  ", 200'000) + "x", "ISO-2022-JP").find("characters of changing size") !=
      std::string::npos);
}
