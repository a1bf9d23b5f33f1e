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

// Ids 0 to 59: twenty words in three forms each.
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
        words.push_back(fold(texts[size_t(ids.back())]));
      }
      for (size_t begin = 0; begin < ids.size();) {
        const size_t n = std::min<size_t>(ids.size() - begin, round % 2 == 0 ? 1 + rng() % 200 : ids.size());
        rarity.add(std::span(ids).subspan(begin, n));
        begin += n;
      }
      rarity.end_context();
    }
    for (const int32_t id : question) {
      CAPTURE(round, id);
      CHECK(rarity.of(id) == Approx(plain_rarity(contexts, fold(texts[size_t(id)]))).epsilon(1e-12));
    }
  }
}

TEST_CASE("rarity: a word in one block of three, one in none, one in all", "[runtime][gather]") {
  const TokenTable table(*sentencepiece_of(forms_of_words()));
  Rarity rarity(table, std::vector<int32_t>{0, 3, 6});
  std::vector<int32_t> ids(130, 7);  // " cc"
  ids[64] = 2;                       // "Aa"
  rarity.add(ids);
  rarity.end_context();
  CHECK(rarity.of(0) == Approx(std::log(1 + 2.5 / 1.5)));
  CHECK(rarity.of(1) == rarity.of(0));  // another form of the word
  CHECK(rarity.of(3) == Approx(std::log(1 + 3.5 / 0.5)));
  CHECK(rarity.of(6) == Approx(std::log(1 + 0.5 / 3.5)));
  // A second context has blocks of its own, though the first's last block was not full.
  rarity.add(std::vector<int32_t>{0});
  rarity.end_context();
  CHECK(rarity.of(0) == Approx(std::log(1 + 2.5 / 2.5)));
}
