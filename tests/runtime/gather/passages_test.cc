// What happens to scored passages: neighbours, the best of them, the choice within a budget, and the spans.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <vector>

#include "runtime/gather/best_passages.h"
#include "runtime/gather/neighbours.h"
#include "runtime/gather/passage_spans.h"
#include "tests/runtime/support/plain_gather.h"

using namespace reform;
using namespace reform::test;

namespace {

// The passages of some contexts, one after the other, without gaps.
struct Passages {
  std::vector<int64_t> n_tokens;  // of each context
  std::vector<ScoredPassage> all;

  // Scores are few, so that there are ties, if `ties`.
  Passages(std::mt19937& rng, bool ties) {
    for (size_t c = 0, n = 1 + rng() % 3; c < n; ++c) {
      int64_t begin = 0;
      for (size_t p = 0, n_passages = 1 + rng() % 40; p < n_passages; ++p) {
        const int64_t end = begin + 1 + int64_t(rng() % 96);
        const double score = ties ? double(rng() % 5) : double(rng()) / 1e9 - 2;
        all.push_back({int32_t(c), begin, end, score, {score, double(p)}});
        begin = end;
      }
      n_tokens.push_back(begin);
    }
  }
};

bool same(const ScoredPassage& a, const ScoredPassage& b) {
  return a.context == b.context && a.begin_token == b.begin_token && a.end_token == b.end_token && a.score == b.score &&
         a.parts == b.parts;
}

std::vector<ScoredPassage> sorted(std::vector<ScoredPassage> all) {  // equal ones stay as they stand in the text
  std::ranges::stable_sort(all, std::greater<>(), &ScoredPassage::score);
  return all;
}

int64_t tokens_of(const std::vector<ChosenPassage>& chosen) {
  int64_t n = 0;
  for (const ChosenPassage& c : chosen) n += c.passage.n_tokens();
  return n;
}

// Of one ranking.
void choose(const std::vector<ScoredPassage>& ranking, int round, int64_t budget, std::vector<ChosenPassage>& chosen) {
  choose_passages(std::span(&ranking, 1), round, budget, chosen);
}

ScoredPassage passage(int32_t context, int64_t begin, int64_t end, double score) {
  return {context, begin, end, score, {score}};
}

}  // namespace

TEST_CASE("neighbours: each score is raised by 0.4 of the better neighbour's own", "[runtime][gather]") {
  std::vector<std::vector<double>> contexts = {{1, 5, 2, -3}, {-2}, {4, -1}};
  std::vector<ScoredPassage> raised;
  Neighbours neighbours([&](ScoredPassage p) { raised.push_back(std::move(p)); });
  for (size_t c = 0; c < contexts.size(); ++c) {
    for (size_t p = 0; p < contexts[c].size(); ++p)
      neighbours.add({int32_t(c), int64_t(p), int64_t(p) + 1, contexts[c][p], {double(c), double(p)}});
    neighbours.end_context();
  }
  const std::vector<double> want = {1 + 0.4 * 5,   5 + 0.4 * 2, 2 + 0.4 * 5, -3 + 0.4 * 2,
                                    -2 + 0.4 * -2,  // alone, so its own
                                    4 + 0.4 * -1,  -1 + 0.4 * 4};
  REQUIRE(raised.size() == want.size());
  size_t i = 0;
  for (size_t c = 0; c < contexts.size(); ++c) {
    for (size_t p = 0; p < contexts[c].size(); ++p, ++i) {
      CAPTURE(c, p);
      CHECK(raised[i].score == Approx(want[i]));
      CHECK((raised[i].context == int32_t(c) && raised[i].begin_token == int64_t(p)));
      CHECK(raised[i].parts == std::vector<double>{double(c), double(p)});
    }
  }
}

TEST_CASE("best passages: what is chosen from them is what is chosen from a sort of all", "[runtime][gather]") {
  std::mt19937 rng(17);
  for (int round = 0; round < 400; ++round) {
    const Passages passages(rng, round % 2 == 0), others(rng, round % 2 == 0);
    const int64_t budget = int64_t(rng() % (round % 3 == 0 ? 5000 : 300)) + 1;
    const auto best_of = [&](const std::vector<ScoredPassage>& text) {
      std::vector<ScoredPassage> coming = text;
      std::shuffle(coming.begin(), coming.end(), rng);
      BestPassages best(budget);
      for (const ScoredPassage& p : coming) best.add(p);
      auto kept = best.take();
      CHECK(best.take().empty());
      const std::vector<ScoredPassage> all = sorted(text);
      size_t n_first = 0;
      for (int64_t n = 0; n_first < all.size() && n < budget; ++n_first) n += all[n_first].n_tokens();
      REQUIRE(kept.size() >= n_first);
      CHECK(std::equal(all.begin(), all.begin() + ptrdiff_t(n_first), kept.begin(), same));
      return kept;
    };
    const auto chosen = [&](const std::vector<ScoredPassage>& first, const std::vector<ScoredPassage>& second) {
      std::vector<ChosenPassage> all;
      choose(first, 1, budget - budget / 4, all);
      choose(second, 2, budget, all);
      return all;
    };
    const std::vector<ChosenPassage> got = chosen(best_of(passages.all), best_of(others.all)),
                                     want = chosen(sorted(passages.all), sorted(others.all));
    CAPTURE(round, budget);
    CHECK(std::ranges::equal(got, want, [](const ChosenPassage& a, const ChosenPassage& b) {
      return a.round == b.round && same(a.passage, b.passage);
    }));
  }
}

TEST_CASE("best passages: a short one is found behind long ones that have no room", "[runtime][gather]") {
  BestPassages best(100);
  for (const ScoredPassage& p : {passage(0, 0, 90, 9), passage(0, 90, 180, 8), passage(0, 180, 271, 7),
                                 passage(1, 0, 11, 6), passage(1, 11, 21, 5), passage(1, 21, 22, 4)})
    best.add(p);
  std::vector<ChosenPassage> chosen;
  choose(best.take(), 1, 100, chosen);
  REQUIRE(chosen.size() == 2);
  CHECK((chosen[0].passage.begin_token == 0 && chosen[1].passage.begin_token == 11));
}

TEST_CASE("best passages: of each length hardly more than a budget's tokens are kept, of any text",
          "[runtime][gather]") {
  std::mt19937 rng(23);
  BestPassages best(500);
  for (int64_t i = 0, begin = 0; i < 50'000; ++i) {
    const int64_t end = begin + 24 + int64_t(rng() % 73);
    best.add(passage(0, begin, end, double(i)));  // each is better than all before it
    begin = end;
  }
  std::map<int64_t, int64_t> n_of_length;
  for (const ScoredPassage& p : best.take()) n_of_length[p.n_tokens()] += p.n_tokens();
  CHECK(n_of_length.size() > 10);
  for (const auto& [length, n_tokens] : n_of_length) CHECK(n_tokens < 500 + length);
  BestPassages none(0);
  none.add(passage(0, 0, 10, 1));
  CHECK(none.take().empty());
}

TEST_CASE("chosen passages: best first while they fit, and the very first is cut if it must be", "[runtime][gather]") {
  const std::vector<ScoredPassage> best = {passage(0, 100, 160, 9), passage(1, 0, 50, 8), passage(0, 160, 200, 7),
                                           passage(0, 10, 20, 6)};
  const auto chosen = [&](int64_t budget) {
    std::vector<ChosenPassage> all;
    choose(best, 1, budget, all);
    std::vector<std::pair<int64_t, int64_t>> places;
    places.reserve(all.size());
    for (const ChosenPassage& c : all) places.emplace_back(c.passage.begin_token, c.passage.end_token);
    return places;
  };
  using Places = std::vector<std::pair<int64_t, int64_t>>;
  CHECK(chosen(0) == Places{});
  CHECK(chosen(1) == Places{{100, 101}});
  CHECK(chosen(59) == Places{{100, 159}});
  CHECK(chosen(60) == Places{{100, 160}});
  CHECK(chosen(69) == Places{{100, 160}});
  CHECK(chosen(70) == Places{{100, 160}, {10, 20}});  // the second and third are passed over
  CHECK(chosen(109) == Places{{100, 160}, {160, 200}});
  CHECK(chosen(110) == Places{{100, 160}, {0, 50}});
  CHECK(chosen(160) == Places{{100, 160}, {0, 50}, {160, 200}, {10, 20}});
}

TEST_CASE("chosen passages: a second round takes what the first left, and none twice", "[runtime][gather]") {
  std::vector<ChosenPassage> chosen;
  choose({passage(0, 0, 50, 9), passage(0, 50, 90, 5)}, 1, 75, chosen);
  REQUIRE(chosen.size() == 1);
  choose({passage(0, 0, 50, 99), passage(1, 0, 10, 8), passage(0, 50, 90, 7), passage(1, 10, 20, 6)}, 2, 100, chosen);
  REQUIRE(chosen.size() == 3);
  CHECK((chosen[0].round == 1 && chosen[0].passage.score == 9));
  CHECK((chosen[1].round == 2 && chosen[1].passage.context == 1 && chosen[1].passage.begin_token == 0));
  CHECK((chosen[2].round == 2 && chosen[2].passage.begin_token == 50));
  CHECK(tokens_of(chosen) == 100);
}

TEST_CASE("spans of passages: by place, touching ones joined, edges clipped", "[runtime][gather]") {
  const std::vector<ChosenPassage> chosen = {{passage(1, 3, 5, 1), 1},   {passage(0, 40, 60, 2), 1},
                                             {passage(0, 60, 70, 3), 2}, {passage(0, 5, 12, 4), 1},
                                             {passage(0, 71, 72, 9), 1}, {passage(0, 95, 100, 5), 1}};
  const std::vector<Span> got = make_passage_spans(chosen, std::vector<int64_t>{100, 5}, 10);
  const std::vector<Span> want = {{0, 0, 5, true, 0},
                                  {0, 5, 12, false, 4, 1, {4}, 5, 12},
                                  {0, 40, 70, false, 2, 1, {2}, 40, 60},  // the first round's score
                                  {0, 71, 72, false, 9, 1, {9}, 71, 72},
                                  {0, 90, 95, true, 0},
                                  {0, 95, 100, false, 5, 1, {5}, 95, 100},
                                  {1, 0, 3, true, 0},
                                  {1, 3, 5, false, 1, 1, {1}, 3, 5}};
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    CAPTURE(i);
    CHECK((got[i].context == want[i].context && got[i].edge == want[i].edge));
    CHECK((got[i].begin_token == want[i].begin_token && got[i].end_token == want[i].end_token));
    CHECK((got[i].score == want[i].score && got[i].round == want[i].round && got[i].parts == want[i].parts));
    CHECK(got[i].best_begin_token == want[i].best_begin_token);
    CHECK(got[i].best_end_token == want[i].best_end_token);
  }
}

TEST_CASE("spans of passages: of two contexts none are joined", "[runtime][gather]") {
  const auto spans =
      make_passage_spans({{passage(0, 50, 60, 1), 1}, {passage(1, 60, 70, 1), 1}}, std::vector<int64_t>{60, 90}, 0);
  REQUIRE(spans.size() == 2);
  CHECK((spans[0].context == 0 && spans[0].end_token == 60));
  CHECK((spans[1].context == 1 && spans[1].begin_token == 60));
}

TEST_CASE("spans of passages: never more tokens than the budget, and what arrays say of each token",
          "[runtime][gather]") {
  std::mt19937 rng(29);
  for (int round = 0; round < 300; ++round) {
    const Passages passages(rng, round % 2 == 0);
    const int64_t budget = int64_t(rng() % (round % 3 == 0 ? 4000 : 200)), edge = int64_t(rng() % 150);
    std::vector<ChosenPassage> chosen;
    choose(sorted(passages.all), 1, budget - budget / 4, chosen);
    CHECK(tokens_of(chosen) <= budget - budget / 4);
    std::vector<ScoredPassage> others = passages.all;
    std::shuffle(others.begin(), others.end(), rng);
    choose(others, 2, budget, chosen);
    CHECK(tokens_of(chosen) <= budget);
    std::shuffle(chosen.begin(), chosen.end(), rng);
    const std::vector<Span> got = make_passage_spans(chosen, passages.n_tokens, edge);
    std::ranges::sort(chosen, {}, [](const ChosenPassage& c) { return c.passage.begin_token; });  // of ties the earlier
    const std::vector<Span> want = plain_spans(chosen, passages.n_tokens, edge);
    CAPTURE(round, budget, edge);
    CHECK(std::ranges::equal(got, want, [](const Span& a, const Span& b) {
      return a.context == b.context && a.begin_token == b.begin_token && a.end_token == b.end_token &&
             a.edge == b.edge && a.score == b.score && a.round == b.round && a.parts == b.parts &&
             a.best_begin_token == b.best_begin_token && a.best_end_token == b.best_end_token;
    }));
  }
}

TEST_CASE("chosen passages: rankings take turns by tokens, and no passage is taken twice", "[runtime][gather]") {
  const std::vector<std::vector<ScoredPassage>> rankings = {
      {passage(0, 0, 50, 2), passage(0, 100, 150, 1), passage(0, 300, 350, 0)},
      {passage(0, 200, 290, 3), passage(0, 100, 150, 2), passage(1, 0, 50, 1)},
      {}};
  const auto begins = [&](int64_t budget) {
    std::vector<ChosenPassage> chosen;
    choose_passages(rankings, 1, budget, chosen);
    std::vector<int64_t> all;
    all.reserve(chosen.size());
    for (const ChosenPassage& c : chosen) all.push_back(c.passage.context * 1000 + c.passage.begin_token);
    return all;
  };
  using Begins = std::vector<int64_t>;
  CHECK(begins(1000) == Begins{200, 0, 100, 1000, 300});
  CHECK(begins(189) == Begins{200, 0});
  CHECK(begins(139) == Begins{200});
  CHECK(begins(60) == Begins{200});  // cut
  CHECK(begins(0).empty());
  std::vector<ChosenPassage> chosen = {{passage(0, 0, 50, 9), 1}};
  choose_passages(rankings, 2, 110, chosen);
  REQUIRE(chosen.size() == 2);
  CHECK((chosen[1].passage.begin_token == 100 && chosen[1].passage.score == 2 && chosen[1].round == 2));
}
