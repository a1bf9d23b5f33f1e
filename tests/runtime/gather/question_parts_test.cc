#include "runtime/gather/question_parts.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace reform;

namespace {

// A question given as its tokens: how many tokens each part has. Words with capitals weigh 4, others 1, the rest 0.
std::vector<int> sizes_of_parts(const std::vector<std::string>& tokens) {
  std::vector<double> weights;
  for (const std::string& token : tokens) {
    const char first = token[token.find_first_not_of(' ')];
    weights.push_back(first >= 'A' && first <= 'Z' ? 4 : first >= 'a' && first <= 'z' ? 1 : 0.1);
  }
  std::vector<int> sizes;
  for (const std::vector<double>& part : question_parts(tokens, weights)) {
    REQUIRE(part.size() == tokens.size());
    int own = 0;
    for (size_t t = 0; t < tokens.size(); ++t) {
      own += part[t] == weights[t];
      CHECK((part[t] == weights[t] || part[t] == weights[t] * 0.1));
    }
    sizes.push_back(own);
  }
  return sizes;
}

using Sizes = std::vector<int>;

}  // namespace

TEST_CASE("question parts: sentences with a question mark", "[runtime][gather]") {
  CHECK(sizes_of_parts({"Where", " is", " Ann", "?"}) == Sizes{4});
  CHECK(sizes_of_parts({"Where", " is", " Ann", "?", " Who", " has", " Bob", "?"}) == Sizes{4, 4});
  CHECK(sizes_of_parts({"Where", " is", " Ann", "?\n", "Who", " has", " Bob"}) == Sizes{7});
  CHECK(sizes_of_parts({"My", " Dog", ".", " Where", "?", " Who", " has", " Bob", "?", " Say", " it", "."}) ==
        Sizes{5, 7});
  CHECK(sizes_of_parts({"谁", "？", "哪", "？"}) == Sizes{2, 2});
  CHECK(sizes_of_parts({"No", " mark", " Here"}) == Sizes{3});
  CHECK(sizes_of_parts({"?"}) == Sizes{1});
}

TEST_CASE("question parts: a mark within a sentence ends none", "[runtime][gather]") {
  CHECK(sizes_of_parts({"What", " is", " x", "?", "y", "=", "1", " For", "?"}) == Sizes{9});
  CHECK(sizes_of_parts({"Who", "?", "?", " Where", " Ann", "?"}) == Sizes{3, 3});
}

TEST_CASE("question parts: the marks of other scripts, also in pieces", "[runtime][gather]") {
  CHECK(sizes_of_parts({"谁", "\xef\xbc", "\x9f", "哪", "\xef\xbc\x9f"}) == Sizes{3, 2});
  CHECK(sizes_of_parts({"谁", "？」哪", "里", "？"}) == Sizes{2, 2});  // a token of both is of the first
  CHECK(sizes_of_parts({"Mن", "؟", " Mك", "؟"}) == Sizes{2, 2});
  for (const char* mark : {"⁇", "⁈", "⁉", "‽", "？！", "?？"}) {
    CAPTURE(mark);
    CHECK(sizes_of_parts({"Who", mark, "Where", mark}) == Sizes{2, 2});
  }
}

TEST_CASE("question parts: several marks, and quotes and brackets behind them", "[runtime][gather]") {
  for (const char* mark : {"?!", "!?", "??", "?!?", "?\"", "?')", "?]", "?»", "?”", "?!“", "?\u00a0", "?」"}) {
    CAPTURE(mark);
    CHECK(sizes_of_parts({"Who", mark, " Where", mark}) == Sizes{2, 2});
  }
  for (const char* mark : {"!", "!!", "?=", "?)x", "??y", "¿", "\"?\"a"}) {
    CAPTURE(mark);
    CHECK(sizes_of_parts({"Who", mark, " Where", "?"}) == Sizes{4});
  }
}

TEST_CASE("question parts: one of common words belongs to its neighbour", "[runtime][gather]") {
  CHECK(sizes_of_parts({"Where", " is", " Ann", "?", " why", "?"}) == Sizes{6});
  CHECK(sizes_of_parts({"hm", "?", " Where", " is", " Ann", "?"}) == Sizes{6});
  CHECK(sizes_of_parts({"Where", " is", " Ann", "?", " why", "?", " Who", " has", " Bob", "?"}) == Sizes{6, 4});
}

TEST_CASE("question parts: more than eight are one", "[runtime][gather]") {
  std::vector<std::string> tokens;
  for (int i = 0; i < 8; ++i) tokens.insert(tokens.end(), {" Who", "?"});
  CHECK(sizes_of_parts(tokens) == Sizes(8, 2));
  tokens.insert(tokens.end(), {" Who", "?"});
  CHECK(sizes_of_parts(tokens) == Sizes{18});
}
