// The command's methods of answering.
#include <reform/ask.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/files.h"
#include "tests/tools/command.h"

using namespace reform::test;
using Json = nlohmann::json;
using Args = std::vector<std::string>;

namespace {

struct Bench : Sandbox {
  Bench() {
    std::string text;
    for (int i = 0; i < 25; ++i) text += "Gate " + std::to_string(i) + " is kept by Orrin.\n";
    const std::string heads = write("maps.json", R"({"sets": {"balanced": {
      "heads": [["q1.1", 0.3, 0.2, 1], ["k1.0", 0.5, 0.1, -0.4]], "lexical": [0.05, 0.2, 0.6], "length": -0.2,
      "confidence": [-1, 0.25]}}})");
    const CommandResult r = run({"ingest", "--model", golden_path("tiny_qwen2.gguf"), "--heads", heads, "--pages",
                                 "--chunk-tokens", "128", "--cache-tokens", "64", "book", write("book.txt", text)});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
  }
  CommandResult by(const std::string& verb, const std::string& method, const Args& more) const {
    Args args = {verb, "--method", method};
    if (verb == "ask") args.insert(args.end(), {"-n", "3", "--chat-template", "chatml"});
    args.insert(args.end(), more.begin(), more.end());
    args.insert(args.end(), {"book", "Who keeps gate 7?"});
    return run(args);
  }
};

}  // namespace

TEST_CASE("methods: the command answers by each, and --json says by which and what it read", "[tools][ask]") {
  const Bench bench;
  for (const reform::MethodInfo& method : reform::list_methods()) {
    CAPTURE(method.name);
    const CommandResult r = bench.by("ask", method.name, {"--json"});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    const Json json = Json::parse(r.out);
    CHECK(json["method"] == method.name);
    CHECK(json["full_model_tokens"] >= json["recomputed_tokens"]);
    CHECK(json["bytes_read"] > 0);
    const bool has_scores = !std::ranges::count(
        std::vector<std::string>{"first", "last", "random", "full", "oprm-random", "carry"}, method.name);
    CHECK((method.name == "carry") == json["sources"].empty());
    for (const Json& source : json["sources"])
      CHECK(source["score"].is_null() == (!has_scores || source["kind"] == "edge"));
    const CommandResult shown = bench.by("ask", method.name, {"--sources"});
    CHECK(shown.exit_code == 0);
    CHECK((shown.out.find("(score ") != std::string::npos) == has_scores);
    CHECK(shown.out.find("nan") == std::string::npos);
    const CommandResult searched = bench.by("search", method.name, {"--json"});
    CHECK(searched.exit_code == (method.searches ? 0 : 2));
    if (method.searches) CHECK(Json::parse(searched.out)["method"] == method.name);
  }
}

TEST_CASE("methods: what a method has no use for is refused before a model is loaded", "[tools][ask]") {
  const Sandbox empty;
  const auto refused = [&](const Args& args, const std::string& why) {
    const CommandResult r = empty.run(args);
    CAPTURE(r.err);
    CHECK(r.exit_code == 2);
    CHECK(r.err.find(why) != std::string::npos);
  };
  refused({"ask", "a", "b", "--method", "full", "--gather-tokens", "9"}, "full has no use for --gather-tokens");
  refused({"ask", "a", "b", "--method", "random", "--rounds", "2"},
          "random has no use for --rounds, an option of reform");
  refused({"ask", "a", "b", "--chunk-tokens", "99"},
          "reform has no use for --chunk-tokens, an option of oprm, oprm-random");
  refused({"ask", "a", "b", "--method", "oprm", "--chunk-tokens", "9"},
          "--chunk-tokens: is '9'; expected a whole number from 64 to");
  refused({"search", "a", "b", "--seed", "9"}, "reform has no use for --seed, an option of random");
  refused({"search", "a", "b", "--method", "oprm"},
          "search does not take the method oprm; expected one of reform, first");
  refused({"search", "a", "b", "--gather-score", "paper", "--rounds", "2"},
          "the gather score paper has no use for --rounds, an option of late");
  refused({"ask", "a", "b", "--gather-score", "late", "--pool-window", "5"},
          "the gather score late has no use for --pool-window, an option of paper");
  refused({"ask", "a", "b", "--method", "Reform"}, "unknown method 'Reform'; expected one of reform, first");
}
