#include "runtime/gather/words.h"

#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/runtime/support/plain_gather.h"

using namespace reform;
using namespace reform::test;

TEST_CASE("words: the hash of parts, joined, is that of the whole", "[runtime][gather]") {
  const std::string word = "Pfälzer Wald, 1874";
  for (size_t first = 0; first <= word.size(); ++first) {
    for (size_t second = first; second <= word.size(); ++second) {
      const WordHash joined = WordHash(word.substr(0, first))
                                  .then(WordHash(word.substr(first, second - first)))
                                  .then(WordHash(word.substr(second)));
      CHECK(joined == WordHash(word));
    }
  }
  CHECK(WordHash("ab").then(WordHash("c")) == WordHash("a").then(WordHash("bc")));
  CHECK_FALSE(WordHash("ab") == WordHash("ba"));
  CHECK_FALSE(WordHash(std::string(1, '\0')) == WordHash(""));
}

TEST_CASE("words: a name and a number of several tokens are one word each", "[runtime][gather]") {
  const std::vector<std::string> texts = {" Z", "olt", "an", " in", " ", "1", "8", "7", ".", " z", "oltan", "\n"};
  const TokenTable table(*byte_level_of(texts));
  const std::vector<int32_t> question = {0, 1, 2, 3, 4, 5, 6, 7, 7};  // " Z|olt|an in 1|8|7|7"
  QuestionWords words(table, question);
  const auto shares = [&](const std::vector<int32_t>& ids) {
    const auto found = words.shares_in(ids);
    return std::vector<float>(found.begin(), found.end());
  };
  CHECK(shares({9, 10, 8}) == std::vector<float>{1, 1, 1, 0, 0, 0, 0, 0, 0});  // " z|oltan."
  CHECK(shares({0, 8, 3}) == std::vector<float>{0.3f, 0, 0, 1, 0, 0, 0, 0, 0});
  CHECK(shares({3, 2}) == std::vector<float>{0, 0, 0.3f, 0.3f, 0, 0, 0, 0, 0});  // " inan" is another word
  CHECK(shares({5, 6, 8, 7, 7}) == std::vector<float>{0, 0, 0, 0, 0, 0.3f, 0.3f, 0.3f, 0.3f});  // "18.77"
  CHECK(shares({8, 5, 6, 7, 7, 11}) == std::vector<float>{0, 0, 0, 0, 1, 1, 1, 1, 1});  // a line's end is a blank, too
  CHECK(shares({}) == std::vector<float>(9, 0));
}

TEST_CASE("words: as with strings, for tokens of letters, digits, marks and scripts without spaces",
          "[runtime][gather]") {
  const std::vector<std::string> texts = {"a",  " a", "A",    "b",   " b", "ab", " aB", "1",   "12",
                                          " 1", "-",  "a-",   ".b",  " ",  "\n", "水",  "a水", "水a",
                                          "é",  "É",  "\xc3", "a'b", "й",  " Й", "(a"};
  for (const bool sentencepiece : {false, true}) {
    const TokenTable table(*(sentencepiece ? sentencepiece_of(texts) : byte_level_of(texts)));
    std::mt19937 rng(11);
    for (int round = 0; round < 300; ++round) {
      const auto draw = [&](size_t n, std::vector<int32_t>& ids, std::vector<std::string>& drawn) {
        for (; ids.size() < n; drawn.push_back(texts[size_t(ids.back())])) ids.push_back(int32_t(rng() % texts.size()));
      };
      std::vector<int32_t> question, text;
      std::vector<std::string> question_texts, text_texts;
      draw(1 + rng() % 9, question, question_texts), draw(rng() % 40, text, text_texts);
      QuestionWords words(table, question);
      const auto shares = words.shares_in(text);
      CAPTURE(sentencepiece, round);
      CHECK(std::vector<float>(shares.begin(), shares.end()) == plain_shares(question_texts, text_texts));
    }
  }
}
