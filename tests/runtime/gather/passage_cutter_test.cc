#include "runtime/gather/passage_cutter.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/runtime/support/plain_gather.h"

using namespace reform;
using namespace reform::test;

namespace {

using Words = std::vector<std::string>;

// A vocabulary of the tokens that texts have.
class Texts {
 public:
  Texts()
      : tokens_{"\n",  "\n\n",   "\r\n", "  ",  "    ", "\t",  ".", ".\n", "!",  "?\"", ".)", " the",
                " of", "the",    "of",   "Tea", " Tea", "{\n", "}", ";\n", "x",  "é",   "。", "水",
                "語",  "好。\n", ",",    "12",  ")",    "\"",  "؟", "Он",  "он", "-",   ":\n"},
        tokenizer_(byte_level_of(tokens_)),
        table_(*tokenizer_) {
    for (size_t i = 0; i < tokens_.size(); ++i) ids_[tokens_[i]] = int32_t(i);
  }

  const Words& tokens() const { return tokens_; }
  // The text's cuts, with its end, if it comes in pieces of the sizes that next_size() gives.
  template <class NextSize>
  std::vector<int64_t> cuts(const Words& text, const NextSize& next_size) const {
    std::vector<int32_t> ids;
    for (const std::string& token : text) ids.push_back(ids_.at(token));
    PassageCutter cutter(table_);
    std::vector<int64_t> ends;
    for (size_t begin = 0; begin < ids.size();) {
      const size_t n = std::min(ids.size() - begin, size_t(next_size()));
      const auto some = cutter.add(std::span(ids).subspan(begin, n));
      ends.insert(ends.end(), some.begin(), some.end());
      begin += n;
      CHECK(cutter.n_tokens() == int64_t(begin));
    }
    if (!text.empty()) ends.push_back(int64_t(text.size()));
    return ends;
  }
  std::vector<int64_t> cuts(const Words& text) const {
    return cuts(text, [] { return 1000000; });
  }

 private:
  const Words tokens_;
  std::unique_ptr<Tokenizer> tokenizer_;
  TokenTable table_;
  std::map<std::string, int32_t> ids_;
};

void repeat(Words& text, size_t n, const Words& tokens) {
  for (size_t i = 0; i < n; ++i) text.insert(text.end(), tokens.begin(), tokens.end());
}

// Text of some kind: how often each token comes changes from one to the next.
Words random_text(std::mt19937& rng, const Words& tokens) {
  std::vector<size_t> often;
  for (size_t i = 0; i < 6; ++i) often.push_back(rng() % tokens.size());
  const size_t n = rng() % 1000, odd = 1 + rng() % 40;
  Words text;
  while (text.size() < n) text.push_back(tokens[rng() % odd == 0 ? rng() % tokens.size() : often[rng() % 6]]);
  return text;
}

// Lines that end for want of room: of up to `width` characters. Some words are names; an empty line ends a paragraph.
Words wrapped_text(std::mt19937& rng, size_t width, const std::string& indent) {
  const Words words = {"the", " the", "Tea", " Tea", ".", " of", ",", "12"};
  Words text;
  for (size_t line = 0, n_lines = 5 + rng() % 60; line < n_lines; ++line) {
    size_t chars = indent.size();
    if (!indent.empty()) text.push_back(indent);
    while (chars + 4 <= width) text.push_back(words[rng() % words.size()]), chars += text.back().size();
    text.push_back(rng() % 9 == 0 ? "\n\n" : "\n");
  }
  return text;
}

// Each passage within bounds, in order, up to the text's end.
void check_lengths(const std::vector<int64_t>& ends, size_t n_tokens) {
  int64_t begin = 0;
  for (const int64_t end : ends) {
    CHECK(end > begin);
    CHECK(end - begin <= PassageCutter::kMaxTokens);
    if (end != ends.back()) CHECK(end - begin >= PassageCutter::kMinTokens / 2);
    begin = end;
  }
  CHECK(begin == int64_t(n_tokens));
}

}  // namespace

TEST_CASE("passages: any text in any pieces is cut as the plain form cuts it", "[runtime][gather]") {
  const Texts texts;
  std::mt19937 rng(23);
  int n_passages = 0;
  for (int round = 0; round < 150; ++round) {
    const Words text = round % 3 == 0 ? wrapped_text(rng, 30 + rng() % 100, rng() % 2 ? "" : "    ")
                                      : random_text(rng, texts.tokens());
    const std::vector<int64_t> whole = texts.cuts(text);
    CAPTURE(round, text.size());
    CHECK(whole == plain_cuts(text));
    check_lengths(whole, text.size());
    CHECK(texts.cuts(text, [] { return 1; }) == whole);
    CHECK(texts.cuts(text, [&] { return 1 + rng() % 7; }) == whole);
    CHECK(texts.cuts(text, [&] { return 1 + rng() % 300; }) == whole);
    n_passages += int(whole.size());
  }
  CHECK(n_passages > 1000);
}

TEST_CASE("passages: a line without a stop is cut at the length", "[runtime][gather]") {
  const Texts texts;
  Words text;
  repeat(text, 1000, {" the"});
  CHECK(texts.cuts(text) == std::vector<int64_t>{96, 192, 288, 384, 480, 576, 672, 768, 864, 960, 1000});
  CHECK(texts.cuts({"x"}) == std::vector<int64_t>{1});
  CHECK(texts.cuts({}).empty());
}

TEST_CASE("passages: code is cut at line ends, short lines joined", "[runtime][gather]") {
  const Texts texts;
  Words text;
  repeat(text, 20, {"    ", "x", ",", "x", ")", "-", "x", "12", ";\n"});  // 9 tokens
  CHECK(texts.cuts(text) == std::vector<int64_t>{54, 108, 162, 180});
}

TEST_CASE("passages: paragraphs are kept whole, short ones joined", "[runtime][gather]") {
  const Texts texts;
  Words text;
  for (int i = 0; i < 3; ++i) repeat(text, 29, {" of"}), text.push_back("\n\n");
  CHECK(texts.cuts(text) == std::vector<int64_t>{30, 60, 90});
  // A blank line of two tokens; ten tokens are too few for a passage.
  text.clear();
  for (int i = 0; i < 6; ++i) repeat(text, 8, {" of"}), repeat(text, 2, {"\n"});
  CHECK(texts.cuts(text) == std::vector<int64_t>{30, 60});
}

TEST_CASE("passages: wrapped prose is cut at sentence ends and not at line ends", "[runtime][gather]") {
  const Texts texts;
  // Lines of 12 tokens that end within sentences of 35.
  Words text;
  for (int i = 0; i < 300; ++i) text.push_back(i % 12 == 0 ? "the" : i % 35 == 34 ? "." : i % 12 == 11 ? "\n" : " of");
  REQUIRE(text[35] == "\n");  // where a line ends with the sentence
  for (const int64_t end : texts.cuts(text)) {
    CAPTURE(end);
    CHECK((end == 300 || text[size_t(end - 1)] == "." ||
           (text[size_t(end - 2)] == "." && text[size_t(end - 1)] == "\n")));
  }
  CHECK(texts.cuts(text) == plain_cuts(text));
  // The same lines with a capital at each begin are lines of their own.
  for (std::string& token : text) token = token == "the" ? "Tea" : token;
  CHECK(texts.cuts(text)[0] == 48);
}

TEST_CASE("passages: in wrapped prose a line goes on even before a capital or an indent", "[runtime][gather]") {
  const Texts texts;
  // Lines of 52 characters, sentences of 41 tokens, each line indented or begun with a capital.
  for (const Words& begin : {Words{"Tea"}, Words{"    "}}) {
    Words text;
    for (int i = 1; i < 1000; ++i) {
      text.push_back(i % 41 == 40 ? "." : " of");
      if (i % 16 == 0) text.push_back("\n"), text.push_back(begin[0]);
    }
    const std::vector<int64_t> ends = texts.cuts(text);
    const auto cut_within = std::ranges::count_if(ends, [&](int64_t end) {
      return text[size_t(end - 1)] != "." && !(text[size_t(end - 1)] == "\n" && text[size_t(end - 2)] == ".");
    });
    CHECK(cut_within <= 5);  // until there have been lines enough to tell, and at the end
    CHECK(ends == plain_cuts(text));
    // Lines of all lengths are lines of their own.
    Words list;
    for (int i = 0; i < 60; ++i) repeat(list, size_t(1 + i * 7 % 20), {" of"}), repeat(list, 1, {"\n", begin[0]});
    for (const int64_t end : texts.cuts(list)) CHECK((end == std::ssize(list) || list[size_t(end - 1)] == "\n"));
  }
}

TEST_CASE("passages: a sentence in a script without spaces ends at once, another before a space", "[runtime][gather]") {
  const Texts texts;
  Words text;
  for (int i = 0; i < 7; ++i) repeat(text, 29, {"水"}), text.push_back("。");
  CHECK(texts.cuts(text) == std::vector<int64_t>{90, 180, 210});
  // 1.2 is no sentence's end.
  text.clear();
  for (int i = 0; i < 7; ++i) repeat(text, 29, {" of"}), repeat(text, 1, {".", "12"});
  CHECK(texts.cuts(text)[0] == 96);
}
