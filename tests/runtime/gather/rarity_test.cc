#include "runtime/gather/rarity.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/runtime/support/plain_gather.h"

using namespace reform;
using namespace reform::test;

namespace {

// Ids 0 to 59: twenty words in three forms each; the second begins a word, the others go on with it.
std::vector<std::string> forms_of_words() {
  std::vector<std::string> texts;
  for (char c = 'a'; c < 'a' + 20; ++c) {
    texts.push_back(std::string(2, c));
    texts.push_back(" " + texts.back());
    texts.push_back(std::string(1, char(c - 'a' + 'A')) + c);
  }
  return texts;
}

}  // namespace

TEST_CASE("rarity: as counted with arrays, for any pieces and several contexts", "[runtime][gather]") {
  const std::vector<std::string> texts = forms_of_words();
  const TokenTable table(*sentencepiece_of(texts));
  std::mt19937 rng(5);
  for (int round = 0; round < 60; ++round) {
    std::vector<int32_t> question;
    for (size_t n = 1 + rng() % 9; question.size() < n;) question.push_back(int32_t(rng() % 60));
    Rarity rarity(table, question);
    std::vector<std::vector<std::string>> contexts(1 + rng() % 4);
    for (auto& words : contexts) {
      // Of some words few, so that they are in some blocks only. Lengths around whole blocks, too.
      const size_t n_tokens = round % 3 == 0 ? 64 * (rng() % 4) + rng() % 3 : rng() % 700;
      std::vector<int32_t> ids;
      for (size_t t = 0; t < n_tokens; ++t) {
        ids.push_back(int32_t(rng() % (rng() % 30 == 0 ? 60 : 21)));
        words.push_back(texts[size_t(ids.back())]);
      }
      for (size_t begin = 0; begin < ids.size();) {
        const size_t n = std::min<size_t>(ids.size() - begin, round % 2 == 0 ? 1 + rng() % 200 : ids.size());
        rarity.add(std::span(ids).subspan(begin, n));
        begin += n;
      }
      rarity.end_context();
    }
    std::vector<std::string> asked;
    for (const int32_t id : question) asked.push_back(texts[size_t(id)]);
    const std::vector<double> want = plain_rarities(contexts, asked);
    for (size_t t = 0; t < question.size(); ++t) {
      CAPTURE(round, t);
      CHECK(rarity.of(t) == Approx(want[t]).epsilon(1e-12));
    }
  }
}

TEST_CASE("rarity: a word in one block of three, one in none, one in all", "[runtime][gather]") {
  const TokenTable table(*sentencepiece_of(forms_of_words()));
  Rarity rarity(table, std::vector<int32_t>{1, 4, 7});
  std::vector<int32_t> ids(130, 7);  // " cc"
  ids[64] = 1;                       // " aa"
  rarity.add(ids);
  rarity.end_context();
  CHECK(rarity.of(0) == Approx(std::log(1 + 2.5 / 1.5)));
  CHECK(rarity.of(1) == Approx(std::log(1 + 3.5 / 0.5)));
  CHECK(rarity.of(2) == Approx(std::log(1 + 0.5 / 3.5)));
  // A second context has blocks of its own, though the first's last block was not full.
  rarity.add(std::vector<int32_t>{1});
  rarity.end_context();
  CHECK(rarity.of(0) == Approx(std::log(1 + 2.5 / 2.5)));
}

TEST_CASE("rarity: the parts of a rare word weigh as the word, however it is cut", "[runtime][gather]") {
  const TokenTable table(*sentencepiece_of({" Z", "olt", "an", " Zol", "tan", " the", " an"}));
  Rarity rarity(table, std::vector<int32_t>{5, 0, 1, 2});  // " the Z|olt|an"
  std::vector<int32_t> ids;
  for (int i = 0; i < 64; ++i) ids.insert(ids.end(), {5, 6, 0, 2, 5, 1});  // " the", " an", " Zan", " theolt"
  ids[128] = 3, ids[129] = 4;                                              // " Zol|tan"
  rarity.add(ids);
  rarity.end_context();
  CHECK(rarity.of(0) == Approx(std::log(1 + 0.5 / 6.5)));
  for (const size_t part : {1, 2, 3}) CHECK(rarity.of(part) == Approx(std::log(1 + 5.5 / 1.5)));
}
