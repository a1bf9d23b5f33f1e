// A context's settings: what is written is read, and damage is told.
#include "runtime/jobs/settings.h"

#include <catch2/catch.hpp>
#include <functional>
#include <nlohmann/json.hpp>

#include "runtime/text/progress_state.h"
#include "tests/support/take.h"

using namespace reform;
using test::take;

namespace {

ContextSettings some_settings() {
  ContextSettings s;
  s.model_fingerprint = "f00", s.model_name = "a model", s.model_path = "/m.gguf", s.architecture = "qwen2";
  s.policy = "h2o";
  s.chunk_tokens = 64, s.cache_tokens = 128, s.sink_tokens = 4, s.overlap_tokens = 16;
  s.heads = {{1, HeadRef::Part::kQ, 1}, {0, HeadRef::Part::kK, 0}};
  s.head_dim = 16;
  return s;
}

ContextSettings with_maps() {
  ContextSettings s = some_settings();
  s.maps = {.heads = {{1.0 / 3, 0.0625, -1.5}, {0.9521, 0.0053, 1e-9}},
            .lexical = {0.0433, 0.0437, 0.3172},
            .length_weight = -0.2379,
            .confidence_offset = -4.239,
            .confidence_slope = 0.9627};
  return s;
}

bool same(const ScoreMap& a, const ScoreMap& b) { return a.mu == b.mu && a.sigma == b.sigma && a.weight == b.weight; }

}  // namespace

TEST_CASE("settings: maps are kept to the last bit, and settings without maps say nothing of them",
          "[runtime][settings]") {
  const std::string written = to_json(with_maps());
  const ContextSettings read = take(parse_settings(written, "c"));
  CHECK(to_json(read) == written);
  const ScoreMaps want = with_maps().maps;
  REQUIRE(read.maps.heads.size() == 2);
  for (size_t h = 0; h < 2; ++h) CHECK(same(read.maps.heads[h], want.heads[h]));
  CHECK(same(read.maps.lexical, want.lexical));
  CHECK(read.maps.length_weight == want.length_weight);
  CHECK(read.maps.confidence_offset == want.confidence_offset);
  CHECK(read.maps.confidence_slope == want.confidence_slope);

  const std::string plain = to_json(some_settings());
  CHECK(plain.find("maps") == std::string::npos);
  CHECK(take(parse_settings(plain, "c")).maps.empty());
  CHECK(to_json(take(parse_settings(take(with_model_path(written, "/other.gguf", "c")), "c"))).find("maps") !=
        std::string::npos);
}

TEST_CASE("settings: the depth of the cache is kept, and only where it is full", "[runtime][settings]") {
  ContextSettings s = some_settings();
  CHECK(to_json(s).find("full_depth") == std::string::npos);
  CHECK(!take(parse_settings(to_json(s), "c")).full_depth);
  s.full_depth = true;
  const std::string written = to_json(s);
  CHECK(take(parse_settings(written, "c")).full_depth);
  CHECK(compress_options(take(parse_settings(written, "c")), KvView::Type::kF16).full_depth);
  nlohmann::json damaged = nlohmann::json::parse(written);
  damaged["full_depth"] = 1;
  CHECK(parse_settings(damaged.dump(), "c").status().code == Code::kCorrupt);
}

TEST_CASE("settings: pages are kept where there are some, and only at full depth", "[runtime][settings]") {
  ContextSettings s = some_settings();
  CHECK(to_json(s).find("pages") == std::string::npos);
  CHECK(compress_options(take(parse_settings(to_json(s), "c")), KvView::Type::kF16).page_tokens == 0);
  s.pages = s.full_depth = true;
  CHECK(compress_options(take(parse_settings(to_json(s), "c")), KvView::Type::kF16).page_tokens == 32);
  s.full_depth = false;
  CHECK(parse_settings(to_json(s), "c").status().code == Code::kCorrupt);
}

TEST_CASE("settings: a context keeps pages if and only if its settings say so", "[runtime][settings]") {
  ContextSettings s = some_settings();
  ContextMeta meta;
  meta.name = "c", meta.row_bytes = int32_t(EmbeddingLayout{int64_t(s.heads.size()), s.head_dim}.row_bytes());
  CHECK(check_rows(s, meta).ok());
  meta.extra_kinds = {{"page_states", 8}, {"page_keys", 8}};
  CHECK(check_rows(s, meta).code == Code::kCorrupt);
  s.pages = s.full_depth = true;
  CHECK(check_rows(s, meta).ok());
  meta.extra_kinds.erase("page_keys");
  CHECK(check_rows(s, meta).message.find("lacks \"page_keys\"") != std::string::npos);
}

TEST_CASE("settings: a key that must be understood and is not known is refused by name, others are kept",
          "[runtime][settings]") {
  using nlohmann::ordered_json;
  CHECK(to_json(with_maps()).find("must_understand") == std::string::npos);
  ContextSettings s = with_maps();
  s.encoding = "SHIFT_JIS", s.full_depth = true, s.fp8_products = true;
  const std::string written = to_json(s);
  ordered_json root = ordered_json::parse(written);
  CHECK(root["must_understand"] == ordered_json{"encoding", "full_depth", "products"});
  CHECK(to_json(take(parse_settings(written, "c"))) == written);

  root["novel"] = 7;
  CHECK(take(parse_settings(root.dump(), "c")).encoding == "SHIFT_JIS");
  const auto moved = ordered_json::parse(take(with_model_path(root.dump(), "/other.gguf", "c")));
  CHECK(moved["model"]["path"] == "/other.gguf");
  CHECK(moved["novel"] == 7);

  root["must_understand"].push_back("novel");
  for (const Status& refused :
       {parse_settings(root.dump(), "c").status(), with_model_path(root.dump(), "", "c").status()}) {
    CHECK(refused.code == Code::kCorrupt);
    CHECK(
        refused.message ==
        "context 'c' was made by a newer reform: its settings need \"novel\", which this program does not know; use a "
        "newer reform (or the data is damaged)");
  }
  for (const ordered_json& wrong : {ordered_json("novel"), ordered_json(3), ordered_json{1, 2}}) {
    root["must_understand"] = wrong;
    const Status damaged = parse_settings(root.dump(), "c").status();
    CHECK(damaged.code == Code::kCorrupt);
    CHECK(damaged.message.find("its settings are damaged") != std::string::npos);
  }
}

TEST_CASE("settings: damaged maps are damage to the context", "[runtime][settings]") {
  using nlohmann::ordered_json;
  const auto status = [](const std::function<void(ordered_json & maps)>& damage) {
    ordered_json root = ordered_json::parse(to_json(with_maps()));
    damage(root["maps"]);
    return parse_settings(root.dump(), "c").status();
  };
  REQUIRE(status([](ordered_json&) {}).ok());
  const std::function<void(ordered_json&)> kinds[] = {
      [](ordered_json& m) { m = nullptr; },
      [](ordered_json& m) { m = 3; },
      [](ordered_json& m) { m = ordered_json::array(); },
      [](ordered_json& m) { m = ordered_json::object(); },
      [](ordered_json& m) { m.erase("heads"); },
      [](ordered_json& m) { m["heads"].erase(1); },
      [](ordered_json& m) { m["heads"].push_back(m["heads"][0]); },
      [](ordered_json& m) { m["heads"] = ordered_json::array(); },
      [](ordered_json& m) {
        m["heads"] = ordered_json{{"a", m["heads"][0]}, {"b", m["heads"][1]}};
      },
      [](ordered_json& m) { m["heads"][1].push_back(0); },
      [](ordered_json& m) { m["heads"][1].erase(2); },
      [](ordered_json& m) { m["heads"][1] = "k0.0"; },
      [](ordered_json& m) { m["heads"][0][0] = "NaN"; },
      [](ordered_json& m) { m["heads"][0][0] = nullptr; },  // as NaN is written
      [](ordered_json& m) { m["heads"][0][0] = 1e300; },
      [](ordered_json& m) { m["heads"][0][1] = 0; },
      [](ordered_json& m) { m["heads"][0][1] = -0.1; },
      [](ordered_json& m) { m.erase("lexical"); },
      [](ordered_json& m) { m["lexical"][2] = -1e7; },
      [](ordered_json& m) { m.erase("length"); },
      [](ordered_json& m) { m["length"] = "0"; },
      [](ordered_json& m) { m["length"] = true; },
      [](ordered_json& m) { m.erase("confidence"); },
      [](ordered_json& m) { m["confidence"] = {1}; },
      [](ordered_json& m) { m["confidence"][1] = 1e300; },
  };
  for (size_t i = 0; i < std::size(kinds); ++i) {
    CAPTURE(i);
    const Status damaged = status(kinds[i]);
    CHECK(damaged.code == Code::kCorrupt);
    CHECK(damaged.message.starts_with("context 'c': its settings are damaged: maps."));
  }
  CHECK(status([](ordered_json& m) { m["heads"][1][2] = "1"; }).message ==
        "context 'c': its settings are damaged: maps.heads[1][2]: expected a number from -1e6 to 1e6, found a string");
}

TEST_CASE("settings: a number of tokens is an integer", "[runtime][settings]") {
  using nlohmann::ordered_json;
  for (const char* key : {"chunk_tokens", "cache_tokens", "sink_tokens", "overlap_tokens", "head_dim"}) {
    for (const ordered_json& wrong :
         {ordered_json(64.5), ordered_json(1e300), ordered_json("64"), ordered_json(true)}) {
      ordered_json root = ordered_json::parse(to_json(some_settings()));
      root[key] = wrong;
      CAPTURE(key, wrong.dump());
      const Status damaged = parse_settings(root.dump(), "c").status();
      CHECK(damaged.code == Code::kCorrupt);
      CHECK(damaged.message == "context 'c': its settings are damaged: expected an integer");
    }
  }
  for (const char* wrong : {"3.5", "1e300", "\"3\"", "null"}) {
    CAPTURE(wrong);
    const auto list = [&](const std::string& begin, const std::string& size) {
      return parse_sources(R"([{"name": "a", "begin_byte": )" + begin + R"(, "size_bytes": )" + size + "}]", "c")
          .status();
    };
    CHECK(list("3", "4").ok());
    CHECK(list(wrong, "4").code == Code::kCorrupt);
    CHECK(list("3", wrong).message == "context 'c': its list of sources is damaged: expected an integer");
    const auto progress = [&](const std::string& tokens, const std::string& id, const std::string& bytes) {
      return parse_progress(R"({"part": {"begin_tokens": )" + tokens + R"(, "source_begin_byte": 0, "stable_bytes": 0,
                                "seed_ids": [)" +
                                id + R"(], "seed_byte_lengths": [1], "held_back": ""},
                                "committed_hash": "", "read": [{"bytes": )" +
                                bytes + R"(, "xxh3_128": ""}]})",
                            "c")
          .status();
    };
    CHECK(progress("3", "4", "5").message == "");
    CHECK(progress(wrong, "4", "5").code == Code::kCorrupt);
    CHECK(progress("3", wrong, "5").code == Code::kCorrupt);
    CHECK(progress("3", "4", wrong).code == Code::kCorrupt);
  }
}
