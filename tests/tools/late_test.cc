// What late interaction says of its passages: what it means, and that --json, C++ and C say the same.
#include <reform/ask.h>
#include <reform/reform.h>
#include <reform/search.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/files.h"
#include "tests/support/take.h"
#include "tests/tools/command.h"

using namespace reform::test;
using Json = nlohmann::json;
using Args = std::vector<std::string>;

namespace {

const Args kNames = {"long", "short"};
const std::string kQuestion = "Where is gate 71?";

struct Bench : Sandbox {
  const std::string model = golden_path("tiny_qwen2.gguf"), store = path("store");

  Bench() {
    const std::string heads = write("maps.json", R"({"sets": {"balanced": {
      "heads": [["q1.1", 0.3, 0.2, 1], ["k1.0", 0.5, 0.1, -0.4]], "lexical": [0.05, 0.2, 0.6], "length": -0.2,
      "confidence": [-1, 0.25]}}})");
    std::string text;
    for (int i = 0; i < 120; ++i)
      text += "\nword " + std::to_string(i * 7919 % 1000) + " and gate " + std::to_string(i);
    for (const auto& [name, content] : {std::pair(kNames[0], text), std::pair(kNames[1], std::string("one gate"))})
      REQUIRE(
          run({"ingest", "--store", store, "--model", model, "--heads", heads, name, write(name, content)}).exit_code ==
          0);
  }
  Json json(Args args) const {
    args.insert(args.end(), {"--json", "--store", store, "--rounds", "2", "--gather-tokens", "300"});
    args.insert(args.end(), {"--edge-tokens", "8", kNames[0], kNames[1], kQuestion});
    const CommandResult r = run(args);
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    return Json::parse(r.out);
  }
  Json search_json() const { return json({"search"}); }
  Json ask_json() const { return json({"ask", "-n", "0", "--chat-template", "chatml"}); }
};

Json part(const std::string& name, double score) { return {{"name", name}, {"score", score}}; }
Json shown(const std::string& context, int64_t begin_byte, bool edge, double score, int round, Json parts, Json best) {
  return {context,          begin_byte,     edge ? Json() : Json(score), round == 0 ? Json() : Json(round),
          std::move(parts), std::move(best)};
}
Json shown(const Json& s) {
  return {s["context"], s["begin_byte"], s["score"],
          s["round"],   s["parts"],      {s["best_begin_byte"], s["best_end_byte"], s["best_begin_line"]}};
}
Json shown(const reform::Source& s) {
  Json parts = Json::array();
  for (const reform::ScorePart& p : s.parts) parts.push_back(part(p.name, p.score));
  return shown(s.context, s.begin_byte, s.edge, s.score, s.round, parts,
               {s.best.begin_byte, s.best.end_byte, s.best.begin_line});
}
Json shown(const reform_source& s) {
  Json parts = Json::array();
  for (size_t i = 0; i < s.n_parts; ++i) parts.push_back(part(s.parts[i].name, s.parts[i].score));
  return shown(s.context, s.begin_byte, s.edge != 0, s.score, s.round, parts,
               {s.best_begin_byte, s.best_end_byte, s.best_begin_line});
}

template <class Sources>
Json result(const Json& confidence, const Sources& sources) {
  Json all = Json::array({confidence});
  for (const auto& source : sources) all.push_back(shown(source));
  return all;
}
Json result(const Json& json) { return result(json["confidence"], json["sources"]); }
template <class CResult>
Json c_result(const CResult& found) {
  Json all = Json::array({found.confidence});
  for (size_t i = 0; i < found.n_sources; ++i) all.push_back(shown(*found.sources[i]));
  return all;
}

}  // namespace

TEST_CASE("late gather: parts make up the score, both rounds are told, and confidence is a chance", "[tools][late]") {
  const Bench b;
  const Json found = b.search_json();
  CHECK((found["confidence"] > 0.0 && found["confidence"] < 1.0));
  CHECK(found["confidence"] == b.ask_json()["confidence"]);
  std::set<int> rounds;
  int n_short = 0, n_edges = 0, n_merged = 0;
  for (const Json& s : found["sources"]) {
    if (s["kind"] == "edge") {
      ++n_edges;
      CHECK((s["round"].is_null() && s["parts"].empty()));
      continue;
    }
    rounds.insert(s["round"].get<int>());
    CHECK((s["best_begin_byte"] >= s["begin_byte"] && s["best_end_byte"] <= s["end_byte"]));
    CHECK(s["best_begin_line"] >= s["begin_line"]);
    n_merged += s["best_begin_byte"] != s["begin_byte"] || s["best_end_byte"] != s["end_byte"] ? 1 : 0;
    double sum = 0;
    Args names;
    for (const Json& p : s["parts"]) names.push_back(p["name"]), sum += p["score"].get<double>();
    CHECK(names == Args{"q1.1", "k1.0", "lexical", "length"});
    if (s["context"] != kNames[1]) continue;
    ++n_short;  // one passage without neighbours: it has 0.4 of its own on top
    CHECK(s["score"].get<double>() == Approx(1.4 * sum).margin(1e-4));
  }
  CHECK(rounds == std::set<int>{1, 2});
  CHECK((n_short == 1 && n_edges > 0));
  CHECK(n_merged > 0);
  CHECK(b.run({"show", "--store", b.store, kNames[0]}).out.find("heads        not a shipped set: q1.1 k1.0\n") !=
        std::string::npos);
}

TEST_CASE("late gather: C++ says what --json says", "[tools][late]") {
  const Bench b;
  reform::EngineOptions engine_options;
  engine_options.chat_template = "chatml";
  const auto engine = take(reform::Engine::open(b.model, engine_options));
  const auto store = take(reform::Store::open(b.store));
  reform::SearchOptions search_options;
  search_options.rounds = 2, search_options.gather_tokens = 300, search_options.edge_tokens = 8;
  const auto found = take(reform::search(*engine, *store, kNames, kQuestion, search_options));
  CHECK(result(found.confidence, found.sources) == result(b.search_json()));
  reform::AskOptions ask_options;
  static_cast<reform::GatherOptions&>(ask_options) = search_options;
  ask_options.sampling.max_new_tokens = 0;
  const auto asked = take(reform::ask(*engine, *store, kNames, kQuestion, ask_options));
  CHECK(result(asked.confidence, asked.sources) == result(b.ask_json()));
}

TEST_CASE("late gather: C says what --json says", "[tools][late]") {
  const Bench b;
  reform_engine_options engine_options;
  reform_engine_options_init(&engine_options, sizeof engine_options);
  engine_options.chat_template = "chatml";
  reform_engine* engine = nullptr;
  reform_store* store = nullptr;
  REQUIRE(reform_engine_open(b.model.c_str(), &engine_options, &engine) == REFORM_OK);
  REQUIRE(reform_store_open(b.store.c_str(), &store) == REFORM_OK);
  const char* const names[] = {kNames[0].c_str(), kNames[1].c_str()};
  const char* const question = kQuestion.c_str();

  reform_search_options search_options;
  reform_search_options_init(&search_options, sizeof search_options);
  search_options.rounds = 2, search_options.gather_tokens = 300, search_options.edge_tokens = 8;
  const reform_search_list* list = nullptr;
  REQUIRE(reform_search(engine, store, names, 2, &question, 1, &search_options, &list) == REFORM_OK);
  CHECK(c_result(*list->results[0]) == result(b.search_json()));
  reform_search_list_free(list);

  reform_ask_options ask_options;
  reform_ask_options_init(&ask_options, sizeof ask_options);
  ask_options.rounds = 2, ask_options.gather_tokens = 300, ask_options.edge_tokens = 8;
  ask_options.max_new_tokens = 0;
  const reform_ask_result* asked = nullptr;
  REQUIRE(reform_ask(engine, store, names, 2, question, &ask_options, &asked) == REFORM_OK);
  CHECK(c_result(*asked) == result(b.ask_json()));
  reform_ask_result_free(asked);
  reform_store_close(store);
  reform_engine_close(engine);
}
