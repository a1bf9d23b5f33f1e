// Answers that must be JSON, from models that were never taught it.
#include <reform/ask.h>
#include <reform/generate.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "tests/runtime/support/ingest_support.h"
#include "tests/support/take.h"

namespace reform::test {
namespace {

using Json = nlohmann::json;

GenerateOptions options(const std::string& schema, double temperature, uint64_t seed = 0) {
  GenerateOptions o;
  o.sampling.json_schema = schema;
  o.sampling.temperature = temperature;
  o.sampling.seed = seed;
  o.sampling.max_new_tokens = 300;
  return o;
}

TEST_CASE("an answer with a schema fits it, drawn or not", "[runtime]") {
  const std::string model = GENERATE("qwen2", "llama2_linear", "gemma3");
  IngestBench bench(2, model);
  const std::string schema =
      R"({"type": "object", "properties": {"colour": {"enum": ["red", "green"]}, "n": {"type": "integer"},
      "names": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 2}}, "required": ["colour", "n", "names"]})";
  for (const double temperature : {0.0, 1.0}) {
    for (uint64_t seed = 0; seed < 4; ++seed) {
      const auto made = take(generate(bench.engine(), "The colour is", options(schema, temperature, seed)));
      CAPTURE(model, temperature, seed, made.text);
      REQUIRE(made.finish_reason == "stop");
      const Json json = Json::parse(made.text, nullptr, false);
      REQUIRE(json.is_object());
      CHECK((json["colour"] == "red" || json["colour"] == "green"));
      CHECK(json["n"].is_number_integer());
      CHECK(json["names"].size() <= 2);
    }
  }
}

TEST_CASE("an answer ends where its value is whole, and a limit cuts it", "[runtime]") {
  IngestBench bench;
  const auto fixed = take(generate(bench.engine(), "x", options(R"({"const": "a b"})", 0)));
  CHECK(fixed.text == "\"a b\"");
  CHECK(fixed.finish_reason == "stop");
  GenerateOptions few =
      options(R"({"const": "a longer text than four tokens can say, whatever they are, it seems"})", 0);
  few.sampling.max_new_tokens = 4;
  const auto cut = take(generate(bench.engine(), "x", few));
  CHECK(cut.finish_reason == "length");
  CHECK(std::string("\"a longer text than four").starts_with(cut.text.substr(0, 5)));
  const Status unknown = generate(bench.engine(), "x", options(R"({"pattern": "a"})", 0)).status();
  CHECK(unknown.code == Code::kUsage);
  CHECK(unknown.message.find("'pattern'") != std::string::npos);
}

TEST_CASE("a question's answer can have a schema, with log probabilities", "[runtime]") {
  IngestBench bench;
  REQUIRE(bench.ingest("text", {made_text(3, 6000)}, IngestBench::options("h2o")).ok());
  AskOptions asked;
  asked.sampling.json_schema = R"({"type": "array", "items": {"type": "boolean"}, "minItems": 3, "maxItems": 3})";
  asked.sampling.top_logprobs = 2;
  const auto result = take(ask(bench.engine(), bench.store(), {"text"}, "is it so?", asked));
  const Json json = Json::parse(result.answer, nullptr, false);
  REQUIRE(json.is_array());
  CHECK(json.size() == 3);
  std::string said;
  for (const AnswerToken& token : result.tokens) {
    said += token.chosen.bytes;
    CHECK(token.chosen.logprob <= 0);
    REQUIRE(token.top.size() == 2);
    CHECK(token.top[0].logprob >= token.top[1].logprob);
    CHECK(token.top[0].logprob >= token.chosen.logprob);
  }
  CHECK(said == result.answer);
}

TEST_CASE("log probabilities are those of all tokens, and come with the text that they begin", "[runtime]") {
  IngestBench bench;
  GenerateOptions o;
  o.sampling.max_new_tokens = 12;
  const auto plain = take(generate(bench.engine(), "the river", o));
  CHECK(plain.tokens.empty());
  o.sampling.top_logprobs = 20;
  o.sampling.temperature = 1;
  o.sampling.top_k = 0, o.sampling.top_p = 1, o.sampling.min_p = 0;
  std::string heard;
  size_t n_heard = 0, n_before = 0;
  const ReplyCallbacks callbacks{[&](const std::string& piece) {
                                   heard += piece;
                                   CHECK(n_heard > std::exchange(n_before, n_heard));
                                   return true;
                                 },
                                 {},
                                 [&](const AnswerToken&) { ++n_heard; }};
  const auto made = take(generate(bench.engine(), "the river", o, callbacks));
  CHECK(made.tokens.size() == 12);
  CHECK(heard == made.text);
  double most = 0;
  for (const AnswerToken& token : made.tokens) {
    double sum = 0;
    for (const TokenLogprob& top : token.top) sum += std::exp(top.logprob);
    CHECK(sum <= 1 + 1e-6);
    most = std::max(most, sum);
  }
  CHECK(most > 0.01);
  o.sampling.temperature = 0;
  for (const AnswerToken& token : take(generate(bench.engine(), "the river", o)).tokens)
    CHECK(token.top[0].logprob == token.chosen.logprob);
}

}  // namespace
}  // namespace reform::test
