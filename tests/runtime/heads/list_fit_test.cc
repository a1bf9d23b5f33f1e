// The fit of weights over lists, on examples that can be worked by hand.
#include "runtime/heads/list_fit.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "runtime/heads/choose.h"

using namespace reform;

namespace {

double chance(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

TEST_CASE("list fit: of two rows in one list, the weight is where slope and penalty meet", "[runtime][heads]") {
  // Scores are w and 0, so the loss is -ln chance(w) + l2 / 2 * w^2. Its slope is chance(w) - 1 + l2 * w.
  const Lists lists{{2}, {1, 0}, {1, 1}};
  constexpr double kL2 = 0.1;
  ListFit fit(lists, {true}, kL2);
  fit.add(std::vector<float>{1, 0});
  fit.fit();
  const double w = fit.weights()[0];
  CHECK(w > 0);
  CHECK(std::abs(chance(w) - 1 + kL2 * w) < 1e-3);
}

TEST_CASE("list fit: a row that stands for several counts as several", "[runtime][heads]") {
  // Row 0 against n like row 1: chances are e^w / (e^w + n). Two lists, of which the second wants row 1.
  const double n = GENERATE(1.0, 3.0);
  const Lists lists{{2, 4}, {1, 0, 0, 1}, {1, float(n), 1, float(n)}};
  ListFit fit(lists, {true, true}, 0);
  fit.add(std::vector<float>{1, 0, 1, 0});
  fit.fit();
  // The mean slope is e^w / (e^w + n) - 1/2.
  CHECK(fit.weights()[0] == Approx(std::log(n)).margin(1e-3));
}

TEST_CASE("list fit: lists that it does not see do not matter", "[runtime][heads]") {
  const Lists lists{{2, 4}, {1, 0, 0, 1}, {1, 1, 1, 1}};
  ListFit fit(lists, {true, false}, 0.1);
  fit.add(std::vector<float>{1, 0, 1, 0});
  fit.fit();
  CHECK(fit.weights()[0] > 0.5);  // the second list alone would want the opposite
}

TEST_CASE("list fit: the gain is what a small Newton step would bring, whatever a column's mean", "[runtime][heads]") {
  const Lists lists{{3}, {1, 0, 0}, {1, 1, 1}};
  ListFit fit(lists, {true}, 0);
  // With no weights each row has a chance of 1/3. Columns: useful; the same, moved; useless.
  const std::vector<int16_t> columns = {3, 103, 5, 0, 100, 5, 0, 100, 5};
  const std::vector<double> gains = fit.gains({columns.data(), 3, 3});
  // The slope is 1 - 3 = -2 and the curvature 3 - 1 = 2, so the gain is 4 / (2 * 2) = 1.
  CHECK(gains[0] == Approx(1));
  CHECK(gains[1] == Approx(1).epsilon(1e-3));
  CHECK(gains[2] == Approx(0).margin(1e-6));
}

TEST_CASE("list fit: weights that made the lists are found again", "[runtime][heads]") {
  std::mt19937_64 rng(3);
  std::normal_distribution<float> normal;
  constexpr int kLists = 4000, kRows = 7;
  Lists lists;
  std::vector<float> a, b;
  for (int list = 0; list < kLists; ++list) {
    std::vector<double> weights;
    for (int r = 0; r < kRows; ++r) {
      a.push_back(normal(rng)), b.push_back(normal(rng));
      weights.push_back(std::exp(double(1.5f * a.back() - 0.7f * b.back())));
    }
    std::vector<float> gold(kRows, 0.0f);
    gold[std::discrete_distribution<size_t>(weights.begin(), weights.end())(rng)] = 1;
    lists.gold.insert(lists.gold.end(), gold.begin(), gold.end());
    lists.ends.push_back(int64_t(lists.gold.size()));
  }
  lists.counts.assign(lists.gold.size(), 1.0f);
  ListFit fit(lists, std::vector<bool>(kLists, true), 0);
  fit.add(a);
  fit.add(b);
  fit.fit();
  CHECK(fit.weights()[0] == Approx(1.5).margin(0.1));  // four times the error of 4,000 draws
  CHECK(fit.weights()[1] == Approx(-0.7).margin(0.1));
}

TEST_CASE("confidence: half way between two alike groups it is one half, and it rises", "[runtime][heads]") {
  const Confidence c = fit_confidence({3, 4, 5, 2}, {1, 2, 0, 3});
  CHECK(c.slope > 0);
  CHECK(chance(c.offset + c.slope * 2.5) == Approx(0.5).margin(1e-2));
  // What can be told apart exactly gives a steep slope, and a finite one.
  const Confidence falling = fit_confidence({1, 2}, {10, 11});
  CHECK((falling.slope == 0 && falling.offset == 0));
  const Confidence sure = fit_confidence({10, 11}, {1, 2});
  CHECK(chance(sure.offset + sure.slope * 10) > 0.9);
  CHECK(chance(sure.offset + sure.slope * 2) < 0.1);
  CHECK(std::isfinite(sure.slope));
}
