// What heads are judged by, on examples that can be worked by hand.
#include "runtime/heads/feature_table.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "runtime/gather/neighbours.h"

using namespace reform;

TEST_CASE("found: scores are raised by their neighbours as gather raises them", "[runtime][heads]") {
  std::mt19937_64 rng(11);
  std::normal_distribution<float> normal;
  for (const size_t n : {1, 2, 3, 50}) {
    std::vector<float> scores;
    for (size_t p = 0; p < n; ++p) scores.push_back(normal(rng));
    std::vector<double> want;
    Neighbours neighbours([&](const ScoredPassage& passage) { want.push_back(passage.score); });
    for (const float score : scores) neighbours.add({0, 0, 0, double(score), {}});
    neighbours.end_context();
    const std::vector<float> got = with_neighbours(scores);
    REQUIRE(got.size() == n);
    for (size_t p = 0; p < n; ++p) CHECK(double(got[p]) == Approx(want[p]).margin(1e-6));
  }
}

TEST_CASE("found: a question counts at each budget that holds all its evidence", "[runtime][heads]") {
  SearchText text;
  text.passage_ends = {300, 600, 900, 1200, 1500};
  SampleQuestion question;
  question.gold = {1, 3};
  // With 0.4 of the better neighbour: 0.4, 1.2, 0.9, 0.5, 0.2. The evidence is the best and the third best passage.
  const std::vector<float> scores = {0, 1, 0.5, 0.3f, 0.08f};
  FoundCount count(text);
  count.add(question, scores);
  CHECK(count.recall() == Recall{0, 1, 1, 1});
  CHECK(count.log_tokens() == Approx(std::log2(900.0)));
  question.gold = {4};  // all five passages come first
  count.add(question, scores);
  CHECK(count.recall() == Recall{0, 0.5, 1, 1});
}
