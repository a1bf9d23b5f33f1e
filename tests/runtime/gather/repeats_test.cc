#include "runtime/gather/repeats.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/runtime/support/plain_gather.h"

using namespace reform;
using namespace reform::test;

TEST_CASE("repeats: a passage that says nearly all of a sentence again, wherever its lines end", "[runtime][gather]") {
  const std::vector<std::string> tokens = {"Ann", " took", " the", " lamp", " the", " green",
                                           ".",   "\n",    "ANN",  " Bob",  " went"};
  const auto tokenizer = byte_level_of(tokens);
  const TokenTable table(*tokenizer);
  const auto stands_in = [&](const std::vector<int32_t>& sentence, const std::vector<int32_t>& text) {
    return Repeats(table, sentence).stand_in(text);
  };
  const std::vector<int32_t> sentence = {0, 1, 2, 5, 3, 6};  // Ann took the green lamp.
  CHECK(stands_in(sentence, sentence));
  CHECK(stands_in(sentence, {9, 10, 6, 7, 8, 1, 7, 4, 5, 3, 6, 9}));  // … ANN took⏎the green lamp. Bob
  CHECK(stands_in(sentence, {0, 1, 2, 5, 3, 9, 10}));                 // three of its four runs
  CHECK_FALSE(stands_in(sentence, {0, 1, 2, 5, 9, 3, 6}));            // two
  CHECK_FALSE(stands_in(sentence, {0, 10, 2, 3, 6}));                 // another thing of Ann
  CHECK_FALSE(stands_in(sentence, {}));
  CHECK_FALSE(stands_in({0, 1}, {0, 1}));  // too short to tell
}
