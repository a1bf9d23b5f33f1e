#include "runtime/compress/heads.h"

#include <catch2/catch.hpp>

#include "runtime/compress/head_search.h"
#include "runtime/model/model.h"

using namespace reform;

TEST_CASE("a head's name is read as it is written, and nothing else is", "[runtime]") {
  CHECK(to_string(parse_head("q14.9").value()) == "q14.9");
  CHECK(parse_head("v3.0").value() == HeadRef{3, HeadRef::Part::kV, 0});
  for (const char* bad : {"", "q", "x1.2", "q1", "q1.", "q.2", "q1.2.3", "q-1.x", "q1.2 ", "q99999999999999999999.1"}) {
    CAPTURE(bad);
    CHECK(parse_head(bad).status().code == Code::kUsage);
  }
}

TEST_CASE("heads the model does not have are refused by name", "[runtime]") {
  ModelShape shape;
  shape.n_layers = 4, shape.n_heads = 6, shape.n_kv_heads = 2;
  CHECK(parse_heads_json(R"({"heads": ["q3.5", "k0.1"]})", "x", shape).ok());
  for (const char* bad : {R"({"heads": ["k0.2"]})", R"({"heads": ["q4.0"]})", R"({"heads": ["q-1.0"]})",
                          R"({"heads": []})", R"({"heads": ["q0.0", "q0.0"]})", R"({"heads": [3]})", "[]", "{", ""}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_heads_json(bad, "x", shape).ok());
  }
}

TEST_CASE("mean normalised rank is 0 for the best token, near 1 for the worst", "[runtime]") {
  const std::vector<float> scores = {0.1f, 0.9f, 0.4f, 0.2f};
  CHECK(mean_normalised_rank(scores, {false, true, false, false}) == 0.0);
  CHECK(mean_normalised_rank(scores, {true, false, false, false}) == 0.75);
  CHECK(mean_normalised_rank(scores, {false, true, true, false}) == 0.125);
}
