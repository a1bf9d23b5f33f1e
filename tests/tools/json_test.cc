#include <catch2/catch.hpp>
#include <limits>

#include "tools/json_output.h"

using namespace reform;
using namespace reform::tool;

namespace {

// Not UTF-8: a lone continuation, an overlong form, a surrogate, a cut character.
const std::string kHostile = "a\x80 \xc0\xaf \xed\xa0\x80 \xf0\x9f\x98";

ContextInfo hostile_context() {
  ContextInfo c;
  c.name = c.id = c.model_name = c.model_path = c.model_fingerprint = c.policy = c.state = c.problem = kHostile;
  c.files = {kHostile, "b.txt"};
  c.settings_json = "{\"chunk\": ";  // cut off
  return c;
}

AskResult hostile_answer() {
  AskResult r;
  r.answer = r.finish_reason = r.empty_because = r.reasoning = r.prompt = kHostile;
  r.sources = {{kHostile, kHostile, 3, 17, false, std::numeric_limits<double>::quiet_NaN(), kHostile},
               {"b", "b.txt", 0, 5, true, 0.5, "edges"}};
  r.timings.prompt_n = 7, r.timings.prompt_ms = 0, r.timings.predicted_n = 3, r.timings.predicted_ms = 1500;
  r.timings.phases_ms = {{"load_ms", 1.5}, {"gather_ms", 2.5}};
  r.memory.peak_host_bytes = 11, r.memory.peak_bytes = {{"weights", 5}, {"kv_cache", 6}};
  r.memory.gpu_categories = {{"kv_cache", 4, 3}};
  return r;
}

GenerateResult hostile_text() {
  GenerateResult r;
  r.text = r.finish_reason = r.empty_because = r.reasoning = r.prompt = kHostile;
  return r;
}

SearchResult hostile_result() {
  SearchResult r;
  r.question = kHostile;
  r.sources = hostile_answer().sources;
  r.timings.phases_ms = {{"load_ms", 1.5}, {"gather_ms", 2.5}};
  return r;
}

}  // namespace

TEST_CASE("no bytes of a text, a name or a message can break the JSON", "[tools]") {
  const Json objects[] = {
      ask_fields({kHostile}, kHostile, hostile_answer(), true),
      search_fields({kHostile}, hostile_result(), 0),
      contexts_fields(kHostile, {hostile_context()}, {}),
      show_fields(kHostile, hostile_context()),
      names_fields(kHostile, "removed", {kHostile}),
      verify_fields(kHostile, {{kHostile, kHostile, "damaged", false, 1, 2, 3, {kHostile}}}),
      export_fields(kHostile, kHostile, {hostile_context(), 5, kHostile}),
      import_fields(kHostile, kHostile, {hostile_context(), 5, kHostile}),
      error_fields({Code::kBadText, kHostile}),
      ingest_fields({hostile_context(), IngestResult::Outcome::kResumed, 3, {}, {}, {{kHostile, 1, 2}}},
                    {{"binary", kHostile, 4}}),
      generate_fields({}, hostile_text(), /*with_prompt=*/true)};
  for (const Json& fields : objects) {
    const std::string text = dump(with_header("verb", fields));
    CHECK(text.find('\n') == std::string::npos);
    const Json parsed = Json::parse(text, nullptr, false);
    REQUIRE_FALSE(parsed.is_discarded());
    CHECK(parsed["schema_version"] == 1);
    CHECK(parsed.begin().key() == "schema_version");
  }
}

TEST_CASE("ask: kinds, scores, rates and categories come out as documented", "[tools]") {
  const Json json = ask_fields({"a"}, "q", hostile_answer(), false);
  CHECK_FALSE(json.contains("prompt"));
  CHECK(ask_fields({"a"}, "q", hostile_answer(), true).contains("prompt"));
  CHECK(json["sources"][0]["kind"] == "match");
  CHECK(json["sources"][1]["kind"] == "edge");
  CHECK(json["sources"][1]["score"].is_null());
  CHECK(json["timings"]["prompt_per_second"] == 0.0);  // nothing measured, not a division by zero
  CHECK(json["timings"]["predicted_per_second"] == 2.0);
  CHECK(json["timings"]["gather_ms"] == 2.5);
  CHECK(json["memory_bytes"]["peak_host"] == 11);
  CHECK(json["memory_bytes"]["kv_cache"] == 6);
  CHECK(json["gpu_memory_bytes"] == Json::parse(R"({"kv_cache": {"planned": 4, "peak": 3}})"));
  CHECK(generate_fields({}, GenerateResult(), false)["gpu_memory_bytes"].is_null());  // no GPU
  CHECK(Json::parse(dump(json))["sources"][0]["score"].is_null());                    // NaN
}

TEST_CASE("search: the best sources and the timings come out as documented", "[tools]") {
  const SearchResult r = hostile_result();
  CHECK(search_fields({"a"}, r, 0)["sources"].size() == 2);
  CHECK(search_fields({"a"}, r, 5)["sources"].size() == 2);
  const Json one = search_fields({"a"}, r, 1);
  REQUIRE(one["sources"].size() == 1);
  CHECK(dump(one["sources"][0]) == dump(ask_fields({"a"}, "q", hostile_answer(), false)["sources"][0]));
  CHECK(one["timings"] == Json::parse(R"({"total_ms": 0.0, "load_ms": 1.5, "gather_ms": 2.5})"));
}

TEST_CASE("ask and search: parts, round and confidence come out as documented", "[tools]") {
  const Source match{"a", "a.txt", 3, 17, false, 1.5, "text", 2, 2, {{"k1.0", 1.25}, {"length", -0.5}}};
  const Source edge{"a", "a.txt", 17, 20, true, 0, "edge"};
  AskResult asked;
  asked.sources = {match, edge}, asked.confidence = 0.875;
  SearchResult searched;
  searched.sources = asked.sources, searched.confidence = asked.confidence;
  for (const Json& json : {ask_fields({"a"}, "q", asked, false), search_fields({"a"}, searched, 0)}) {
    CHECK(json["confidence"] == 0.875);
    CHECK(json["sources"][0]["round"] == 2);
    CHECK(json["sources"][0]["parts"] ==
          Json::parse(R"([{"name": "k1.0", "score": 1.25}, {"name": "length", "score": -0.5}])"));
    CHECK(json["sources"][1]["round"].is_null());
    CHECK(json["sources"][1]["parts"] == Json::array());
  }
  CHECK(ask_fields({"a"}, "q", {}, false)["confidence"].is_null());
  CHECK(search_fields({"a"}, {}, 0)["confidence"].is_null());
}

TEST_CASE("every code has a name of its own", "[tools]") {
  std::vector<std::string> names;
  for (int code = 0; code <= 13; ++code) names.push_back(code_name(Code(code)));
  names.push_back(code_name(Code::kCancelled));
  std::sort(names.begin(), names.end());
  CHECK(std::unique(names.begin(), names.end()) == names.end());
}
