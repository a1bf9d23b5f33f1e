#include "runtime/recompute/first_token.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <vector>

using namespace reform;

TEST_CASE("first token: the entropy is that of the softmax, and the likeliest is the largest logit", "[first_token]") {
  // 1/2, 1/4, 1/8, 1/8: 7/4 bits.
  for (const double shift : {0.0, 300.0, -300.0}) {
    std::vector<float> logits;
    for (const double p : {0.125, 0.5, 0.25, 0.125}) logits.push_back(float(std::log(p) + shift));
    const FirstTokenGuess guess = guess_of(logits);
    CHECK(guess.likeliest == 1);
    CHECK(guess.entropy_nats == Approx(1.75 * std::log(2.0)).epsilon(1e-5));  // logits of 300 have 2^-15 less
  }
  CHECK(guess_of(std::vector<float>(7, 2.0f)).entropy_nats == Approx(std::log(7.0)));
  CHECK(guess_of(std::vector<float>(7, 2.0f)).likeliest == 0);
  CHECK(guess_of(std::vector<float>{-1e4f, 1e4f}).entropy_nats == 0);
  const float infinite = std::numeric_limits<float>::infinity();
  CHECK(guess_of(std::vector<float>{0, -infinite, 0}).entropy_nats == Approx(std::log(2.0)));
  CHECK(std::isinf(guess_of(std::vector<float>{0, std::nanf(""), 1}).entropy_nats));
}

TEST_CASE("first token: the surest guess has the least entropy, and a word that is left out never counts",
          "[first_token]") {
  SurestGuess surest({5, 9});
  CHECK(!surest.add({5, 0.1}));
  CHECK(surest.add({3, std::numeric_limits<double>::infinity()}));
  CHECK(surest.add({3, 2.0}));
  CHECK(!surest.add({4, 2.0}));
  CHECK(!surest.add({4, 2.5}));
  CHECK(!surest.add({9, 0.0}));
  CHECK(surest.add({4, 1.5}));
}
