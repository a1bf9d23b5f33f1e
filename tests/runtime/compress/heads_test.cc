#include "runtime/compress/heads.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "runtime/compress/head_set.h"
#include "runtime/model/model.h"
#include "tests/support/take.h"

using namespace reform;
using test::take;

namespace {

ModelShape tested_shape() {
  ModelShape shape;
  shape.n_layers = 4, shape.n_heads = 6, shape.n_kv_heads = 2;
  return shape;
}

Result<HeadSets> parse(const std::string& json, const std::string& fingerprint = "") {
  return parse_heads_file(json, "my heads.json", tested_shape(), fingerprint);
}

// A heads file with one set; what differs from a good one is given.
struct File {
  std::string depth = "balanced";
  std::string heads = R"([["k0.1", 0.5, 0.1, 1], ["q3.5", -0.25, 2, -3]])";
  std::string rest = R"("lexical": [0.1, 0.2, 0.3], "length": -0.5, "confidence": [-4, 1])";

  std::string json() const {
    return R"({"heads": ["q1.0"], "sets": {")" + depth + R"(": {"heads": )" + heads + (rest.empty() ? "" : ", ") +
           rest + "}}}";
  }
};

// The parts of maps as numbers, to compare them to the bit.
std::vector<double> numbers(const ScoreMaps& maps) {
  std::vector<double> all;
  const auto add = [&](const ScoreMap& m) { all.insert(all.end(), {m.mu, m.sigma, m.weight}); };
  std::ranges::for_each(maps.heads, add);
  add(maps.lexical);
  all.insert(all.end(), {maps.length_weight, maps.confidence_offset, maps.confidence_slope});
  return all;
}

}  // namespace

TEST_CASE("a head's name is read as it is written, and nothing else is", "[runtime]") {
  CHECK(to_string(parse_head("q14.9").value()) == "q14.9");
  CHECK(parse_head("v3.0").value() == HeadRef{3, HeadRef::Part::kV, 0});
  for (const char* bad : {"", "q", "x1.2", "q1", "q1.", "q.2", "q1.2.3", "q-1.x", "q1.2 ", "q99999999999999999999.1"}) {
    CAPTURE(bad);
    CHECK(parse_head(bad).status().code == Code::kUsage);
  }
}

TEST_CASE("heads the model does not have are refused by name", "[runtime]") {
  CHECK(parse(R"({"heads": ["q3.5", "k0.1"]})").ok());
  for (const char* bad :
       {R"({"heads": ["k0.2"]})", R"({"heads": ["q4.0"]})", R"({"heads": ["q-1.0"]})", R"({"heads": []})",
        R"({"heads": ["q0.0", "q0.0"]})", R"({"heads": [3]})", R"({"heads": "q0.0"})", R"({"heads": {"a": "q0.0"}})",
        R"({"sets": {}})", R"({"sets": []})", R"({"sets": 3})", R"({"model": "x"})", "[]", "{", ""}) {
    CAPTURE(bad);
    const Status status = parse(bad).status();
    CHECK(status.code == Code::kUsage);
    CHECK(status.message.starts_with("my heads.json: "));
  }
}

TEST_CASE("heads: a file of sets is read, and written back the same", "[runtime][heads]") {
  File file;
  const HeadSets sets = take(parse(file.json()));
  REQUIRE(sets.size() == 2);
  CHECK(to_string(sets.at("paper").heads) == "q1.0");
  CHECK(sets.at("paper").maps.empty());
  const HeadSet& balanced = sets.at("balanced");
  CHECK(to_string(balanced.heads) == "k0.1 q3.5");
  CHECK(numbers(balanced.maps) == std::vector<double>{0.5, 0.1, 1, -0.25, 2, -3, 0.1, 0.2, 0.3, -0.5, -4, 1});
  CHECK(balanced.maps.heads[1](1.75) == -3);  // -3 * (1.75 + 0.25) / 2

  HeadSets all = sets;
  for (const char* depth : {"fast", "deep"}) all[depth] = balanced;
  all["fast"].maps.length_weight = 1.0 / 3;
  all["deep"].heads = {{2, HeadRef::Part::kV, 1}}, all["deep"].maps.heads.resize(1);
  const std::string written = heads_file_json(all, "a \"model\"", "f00");
  const HeadSets read = take(parse(written, "f00"));
  REQUIRE(read.size() == 4);
  for (const auto& [depth, set] : all) {
    CAPTURE(depth);
    CHECK(read.at(depth).heads == set.heads);
    CHECK(numbers(read.at(depth).maps) == numbers(set.maps));
  }
  CHECK(heads_file_json(read, "a \"model\"", "f00") == written);
  CHECK(parse(written, "f01").status().code == Code::kWrongModel);
  CHECK(parse(written, "").ok());
}

TEST_CASE("heads: numbers are written with the fewest digits that are read back as the same", "[runtime][heads]") {
  HeadSets sets = take(parse(R"({"sets": {"fast": {"heads": [["v1.1", 0.0078883, 0.10218, -0.010384]],
                                 "lexical": [0.0010036, 1, 0], "length": 0.010665, "confidence": [0, 0.10218]}}})"));
  sets["fast"].maps.confidence_offset = 1.0 / 3;
  const std::string written = heads_file_json(sets, "m", "");
  CHECK(written.find(R"(["v1.1", 0.0078883, 0.10218, -0.010384])") != std::string::npos);
  CHECK(written.find(R"("lexical": [0.0010036, 1, 0])") != std::string::npos);
  CHECK(written.find(R"("length": 0.010665)") != std::string::npos);
  CHECK(written.find(R"("confidence": [0.3333333333333333, 0.10218])") != std::string::npos);
  CHECK(numbers(take(parse(written)).at("fast").maps) == numbers(sets["fast"].maps));
}

TEST_CASE("heads: sets may stand without the paper's heads", "[runtime][heads]") {
  const HeadSets sets = take(parse(R"({"sets": {"fast": {"heads": [["v1.1", 0, 1, 1]], "lexical": [0, 1, 0],
                                      "length": 0, "confidence": [0, 1]}}})"));
  CHECK(sets.size() == 1);
  CHECK(take(parse(heads_file_json(sets, "m", ""))).size() == 1);
}

TEST_CASE("heads: a bad map is one error that names the file", "[runtime][heads]") {
  REQUIRE(parse(File{}.json()).ok());
  std::vector<File> files;
  const auto with_heads = [&](const std::string& heads) { files.push_back({.heads = heads}); };
  const auto with_rest = [&](const std::string& rest) { files.push_back({.rest = rest}); };
  for (const char* map :
       {"", ", 0.5", ", 0.5, 0.1", ", 0.5, 0.1, 1, 1", ", [0.5, 0.1, 1]", ", 0.5, \"NaN\", 1", ", 0.5, NaN, 1",
        ", null, 0.1, 1", ", 0.5, 0, 1", ", 0.5, -0.1, 1", ", 0.5, 1e-7, 1", ", 1e300, 0.1, 1", ", 0.5, 1e300, 1",
        ", 0.5, 0.1, -1e300", ", 0.5, 0.1, 1e999", ", 0.5, 0.1, true"})
    with_heads("[[\"k0.1\"" + std::string(map) + "]]");
  for (const char* heads : {"[]", "{}", "\"k0.1\"", "null", "[\"k0.1\"]", "[[\"k0.2\", 0, 1, 1]]", "[[3, 0, 1, 1]]",
                            "[[\"k0.1\", 0, 1, 1], [\"k0.1\", 0, 1, 1]]", "{\"a\": [\"k0.1\", 0, 1, 1]}"})
    with_heads(heads);
  const std::string lexical = "\"lexical\": [0, 1, 1]", length = "\"length\": 0", sure = "\"confidence\": [0, 1]";
  for (const std::string& rest :
       {std::string(), lexical, lexical + ", " + length, lexical + ", " + sure, length + ", " + sure,
        "\"lexical\": [0, 1], " + length + ", " + sure, "\"lexical\": {}, " + length + ", " + sure,
        "\"lexical\": 1, " + length + ", " + sure, lexical + ", \"length\": \"1\", " + sure,
        lexical + ", \"length\": 1e300, " + sure, lexical + ", \"length\": [0], " + sure,
        lexical + ", " + length + ", \"confidence\": 1", lexical + ", " + length + ", \"confidence\": [0]",
        lexical + ", " + length + ", \"confidence\": [0, 1, 2]",
        lexical + ", " + length + ", \"confidence\": [0, 1e300]"})
    with_rest(rest);
  for (const char* depth : {"paper", "", "Balanced", "deepest"}) files.push_back({.depth = depth});
  for (const File& file : files) {
    CAPTURE(file.json());
    const Status status = parse(file.json()).status();
    CHECK(status.code == Code::kUsage);
    CHECK(status.message.starts_with("my heads.json: "));
    CHECK(status.message.find('\n') == std::string::npos);
    CHECK(status.message.find("json.exception") == std::string::npos);
    if (file.depth != "balanced") CHECK(status.message.find("expected fast, balanced or deep") != std::string::npos);
  }
}

TEST_CASE("heads: an error says where in the file, what was expected and what was found", "[runtime][heads]") {
  const auto message = [](const File& file) { return parse(file.json()).status().message; };
  const std::string sure = R"(, "length": 0, "confidence": [0, 1])";
  const std::pair<File, std::string> cases[] = {
      {{.heads = R"([["k0.1", 0.5, "NaN", 1]])"},
       "sets.balanced.heads[0][2]: expected a number from -1e6 to 1e6, found a string"},
      {{.heads = R"([["k0.1", 0, 1, 1], ["q3.5", 0, 1]])"},
       "sets.balanced.heads[1]: expected [head, mu, sigma, weight], found an array of 3"},
      {{.heads = R"([["k0.1", 0, 1, 1], [3, 0, 1, 1]])"},
       "sets.balanced.heads[1]: expected a head like \"q14.9\", found 3"},
      {{.heads = "[]"}, "sets.balanced: 0 heads chosen; expected 1 to 16"},
      {{.heads = R"([["k0.9", 0, 1, 1]])"},
       "sets.balanced: head k0.9 does not exist: the model has 4 layers, 6 query and 2 KV heads"},
      {{.heads = R"([["k0.1", 0, -0.5, 1]])"},
       "sets.balanced.heads[0][2]: expected a sigma of 1e-6 or more, found -0.5"},
      {{.depth = "fast", .rest = R"("lexical": {})" + sure},
       "sets.fast.lexical: expected [mu, sigma, weight], found an object"},
      {{.depth = "fast", .rest = R"("lexical": [0, 1, 1e300])" + sure},
       "sets.fast.lexical[2]: expected a number from -1e6 to 1e6, found 1e+300"},
      {{.rest = R"("lexical": [0, 1, 1], "confidence": [0, 1])"},
       "sets.balanced.length: expected a number from -1e6 to 1e6, found nothing"},
      {{.rest = R"("lexical": [0, 1, 1], "length": 0, "confidence": [0, true])"},
       "sets.balanced.confidence[1]: expected a number from -1e6 to 1e6, found a boolean"}};
  for (const auto& [file, want] : cases) CHECK(message(file) == "my heads.json: " + want);
  CHECK(parse(R"({"sets": 3})").status().message == "my heads.json: sets: expected an object, found 3");
  CHECK(parse(R"({"heads": ["q1.0", null]})").status().message ==
        "my heads.json: heads[1]: expected a head like \"q14.9\", found nothing");
}

TEST_CASE("heads: what is no JSON says the byte, and a key that stands twice is refused", "[runtime][heads]") {
  const auto message = [](const std::string& text) { return parse(text).status().message; };
  CHECK(message("") == "my heads.json: not valid JSON at byte 0");
  CHECK(message("{\"heads\": [}") == "my heads.json: not valid JSON at byte 11");
  CHECK(message("{\"heads\"") == "my heads.json: not valid JSON at byte 8");
  CHECK(message("{\"heads\": 1e999}") == "my heads.json: a number in it is too large");
  CHECK(message("[]").find("expected a JSON object") != std::string::npos);
  CHECK(message(R"({"heads": ["q1.0"], "heads": ["q2.0"]})") ==
        "my heads.json: the key \"heads\" stands twice in one object");
  CHECK(message(R"({"sets": {"fast": {"length": 0, "length": 1}}})").find("\"length\" stands twice") !=
        std::string::npos);
  CHECK(message(std::string(100, '[') + std::string(100, ']')).find("deeper than 64") != std::string::npos);
}

TEST_CASE("heads: a fingerprint is a string, and a slope is not negative", "[runtime][heads]") {
  for (const char* fingerprint : {"5", "null", "[]", "true"}) {
    const std::string text = R"({"heads": ["q1.0"], "fingerprint": )" + std::string(fingerprint) + "}";
    for (const char* model : {"", "f00"})
      CHECK(parse(text, model).status().message.starts_with("my heads.json: fingerprint: expected a string, found "));
  }
  const auto with_slope = [](const char* slope) {
    return parse(
        File{.rest = R"("lexical": [0, 1, 1], "length": 0, "confidence": [0, )" + std::string(slope) + "]"}.json());
  };
  CHECK(with_slope("0").ok());
  CHECK(with_slope("-0.5").status().message ==
        "my heads.json: sets.balanced.confidence[1]: expected a slope of 0 or more, found -0.5");
}

TEST_CASE("heads: the usual depth is balanced, else paper, one that is missing names what there is",
          "[runtime][heads]") {
  const auto set = [](const char* name) { return HeadSet{{parse_head(name).value()}, {}}; };
  const auto chosen = [](const HeadSets& sets, const std::string& depth) {
    return to_string(take(choose_set(sets, depth)).heads);
  };
  const HeadSets all = {
      {"fast", set("q0.0")}, {"balanced", set("q1.0")}, {"deep", set("q2.0")}, {"paper", set("q3.0")}};
  CHECK(chosen(all, "") == "q1.0");
  CHECK(chosen(all, "fast") == "q0.0");
  CHECK(chosen(all, "balanced") == "q1.0");
  CHECK(chosen(all, "deep") == "q2.0");
  CHECK(chosen(all, "paper") == "q3.0");
  const HeadSets some = {{"fast", set("q0.0")}, {"paper", set("q3.0")}};
  CHECK(chosen(some, "") == "q3.0");
  const Status missing = choose_set(some, "deep").status();
  CHECK(missing.code == Code::kUsage);
  CHECK(missing.message ==
        "no heads for the depth 'deep' are known for this model; known: fast, paper; `reform heads` chooses them");
  // Whoever names the usual depth means it.
  CHECK(choose_set(some, "balanced").status().code == Code::kUsage);
  const Status none = choose_set({{"deep", set("q2.0")}}, "").status();
  CHECK(none.code == Code::kUsage);
  CHECK(none.message.find("known: deep") != std::string::npos);
}

TEST_CASE("heads: those of a shipped set have its depth's name", "[runtime][heads]") {
  const std::string smollm2 = "f69787fc51a7e39249c4a77a2e00c6b1";
  ModelShape shape;
  shape.n_layers = 30, shape.n_heads = 9, shape.n_kv_heads = 3;
  const HeadSets sets = take(parse_heads_file(shipped_heads_json(smollm2), "smollm2", shape));
  REQUIRE(sets.size() > 1);
  for (const auto& [depth, set] : sets) CHECK(shipped_depth(smollm2, set.heads) == depth);
  CHECK(shipped_depth("f00", sets.begin()->second.heads).empty());
  CHECK(shipped_depth(smollm2, {{0, HeadRef::Part::kQ, 0}}).empty());
}
