// Other methods of answering than REFORM's, each made only of functions for the three steps. ask and ingest know none
// of them.
#include "runtime/jobs/ask_method.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/runtime/support/ingest_support.h"

using namespace reform;
using namespace reform::test;

namespace {

AskOptions few_tokens() {
  AskOptions options;
  options.gather_tokens = 48, options.edge_tokens = 8, options.pool_window = 5;
  options.sampling.max_new_tokens = 4;
  return options;
}

Result<std::vector<Query>> query_words(Ask&, std::span<const Ids> questions) {
  std::vector<Query> queries;
  for (const Ids& ids : questions) queries.push_back({.ids = ids, .states = {}});
  return queries;
}

// Lexical retrieval: stored tokens that also occur in the question, with `reach` tokens on either side.
Result<Selection> select_by_words(Ask& ask, const Query& query, int64_t reach) {
  std::vector<Span> spans;
  for (size_t c = 0; c < ask.contexts.size(); ++c) {
    const int64_t n = ask.contexts[c].n_tokens();
    auto tokens = ask.contexts[c].data->read_tokens(0, n);
    if (!tokens.ok()) return tokens.status();
    for (int64_t t = 0; t < n; ++t) {
      if (std::ranges::find(query.ids, tokens.value().ids[size_t(t)]) == query.ids.end()) continue;
      const Span span{int32_t(c), std::max<int64_t>(0, t - reach), std::min(n, t + reach + 1), false, 1};
      const bool touches =
          !spans.empty() && spans.back().context == span.context && spans.back().end_token >= span.begin_token;
      if (touches) spans.back().end_token = span.end_token;
      if (!touches) spans.push_back(span);
    }
  }
  return Selection{spans};
}

Result<Answer> answer_nothing(Ask&, std::span<const Span>) { return Answer{}; }

AskMethod lexical(int64_t reach) {
  return {.query = query_words,
          .select = [reach](Ask& ask, const Query& query) { return select_by_words(ask, query, reach); },
          .answer = answer_nothing};
}

Result<Selection> select_nothing(Ask&, const Query&) { return Selection{}; }

// From the compressed cache alone, over which an answer would be decoded. Here the answer is only each cache's length.
Result<Answer> answer_from_caches(Ask& ask, std::span<const Span>) {
  Answer answer;
  for (OpenContext& context : ask.contexts) {
    auto cache = load_cache(ask, context, 1);
    if (!cache.ok()) return cache.status();
    answer.generated.text += std::to_string(cache.value()->kv_len()) + " ";
  }
  return answer;
}

struct Told {
  std::vector<std::string> phases;
  size_t n_sources = 0;
  AskCallbacks callbacks{.on_sources = [this](const std::vector<Source>& sources) { n_sources = sources.size(); },
                         .on_phase = [this](const std::string& phase) { phases.push_back(phase); },
                         .on_text = {},
                         .on_reasoning = {},
                         .on_chunk = {}};
};

}  // namespace

TEST_CASE("ask: lexical retrieval is a method, and its sources are where they say", "[runtime][ask]") {
  IngestBench bench;
  const std::string texts[] = {made_text(3, 1500), "Nobody here but one zebra and 日本語."};
  REQUIRE(bench.ingest("long", {texts[0]}, IngestBench::options("h2o")).ok());
  REQUIRE(bench.ingest("short", {texts[1]}, IngestBench::options("h2o")).ok());
  // "Ω" is one token or several; "zebra" stands in the second text only.
  for (const std::string word : {"stones", "Ω", "zebra"}) {
    CAPTURE(word);
    Told told;
    const auto asked = ask_with(lexical(2), bench.engine(), bench.store(), {"long", "short"}, " " + word, few_tokens(),
                                told.callbacks);
    INFO(asked.status().message);
    REQUIRE(asked.ok());
    const AskResult& r = asked.value();
    REQUIRE(!r.sources.empty());
    CHECK(told.n_sources == r.sources.size());
    CHECK(told.phases == std::vector<std::string>{"load", "query", "gather", "recompute"});
    bool found = false;
    for (const Source& s : r.sources) {
      const std::string& text = texts[s.context == "short"];
      CHECK(s.text == text.substr(size_t(s.begin_byte), size_t(s.end_byte - s.begin_byte)));
      CHECK(!s.edge);
      found |= s.text.find(word) != std::string::npos;
    }
    CHECK(found);
    CHECK(r.gathered_tokens > 0);
    CHECK(r.edge_tokens == 0);
    CHECK(r.answer.empty());
  }
}

TEST_CASE("ask: steps of different methods go together", "[runtime][ask]") {
  IngestBench bench;
  std::string text = made_text(4, 1200);
  std::erase_if(text, [](unsigned char c) { return c >= 0x80; });  // so that each token is whole characters
  REQUIRE(bench.ingest("a", {text}, IngestBench::options("recent")).ok());
  AskMethod mixed = lexical(1);
  mixed.answer = answer_by_recompute;
  const auto asked = ask_with(mixed, bench.engine(), bench.store(), {"a"}, "the stones", few_tokens());
  INFO(asked.status().message);
  REQUIRE(asked.ok());
  const AskResult& r = asked.value();
  CHECK(r.recomputed_tokens == r.gathered_tokens + r.question_tokens + r.template_tokens);
  CHECK(r.timings.predicted_n > 0);
  REQUIRE(!r.sources.empty());
  for (const Source& s : r.sources) CHECK(r.prompt.find(s.text) != std::string::npos);
}

TEST_CASE("ask: an answer can come from the stored caches alone", "[runtime][ask]") {
  IngestBench bench;
  for (const std::string name : {"a", "b"})
    REQUIRE(bench.ingest(name, {made_text(name[0], 900)}, IngestBench::options("h2o")).ok());
  const AskMethod method{.query = query_words, .select = select_nothing, .answer = answer_from_caches};
  const auto asked = ask_with(method, bench.engine(), bench.store(), {"a", "b"}, "where?", few_tokens());
  INFO(asked.status().message);
  REQUIRE(asked.ok());
  const AskResult& r = asked.value();
  CHECK(r.answer == "64 64 ");  // what the cache was cut back to
  CHECK(r.sources.empty());
  CHECK(r.gathered_tokens + r.edge_tokens + r.recomputed_tokens == 0);
  CHECK(bench.store().find("a").value().last_asked_unix_s > 0);
}

TEST_CASE("ask: a step that fails is the answer, and what every ask checks no method can pass", "[runtime][ask]") {
  IngestBench bench;
  REQUIRE(bench.ingest("a", {made_text(5, 300)}, IngestBench::options("h2o")).ok());
  AskMethod method = lexical(1);
  const auto code = [&](const std::vector<std::string>& names, const std::string& question) {
    return ask_with(method, bench.engine(), bench.store(), names, question, few_tokens()).status().code;
  };
  CHECK(code({}, "the") == Code::kUsage);
  CHECK(code({"a", "a"}, "the") == Code::kUsage);
  CHECK(code({"b"}, "the") == Code::kNotFound);
  CHECK(bench.store().find("a").value().last_asked_unix_s == 0);
  CHECK(code({"a"}, " \n") == Code::kUsage);
  method.select = [](Ask&, const Query&) -> Result<Selection> { return Status{Code::kIo, "no index"}; };
  CHECK(code({"a"}, "the") == Code::kIo);
  CHECK(bench.store().find("a").value().last_asked_unix_s > 0);
}

TEST_CASE("ask: where no token is wanted the sources are found and the prompt is not run", "[runtime][ask]") {
  IngestBench bench;
  REQUIRE(bench.ingest("a", {made_text(6, 1200)}, IngestBench::options("h2o")).ok());
  AskResult results[2];
  for (const int64_t n_new : {0, 1}) {
    AskOptions options = few_tokens();
    options.sampling.max_new_tokens = n_new;
    auto asked = ask(bench.engine(), bench.store(), {"a"}, "where are the stones?", options);
    INFO(asked.status().message);
    REQUIRE(asked.ok());
    results[n_new] = std::move(asked).value();
  }
  const AskResult &found = results[0], &answered = results[1];
  CHECK(found.prompt == answered.prompt);
  CHECK(answered.recomputed_tokens ==
        found.gathered_tokens + found.edge_tokens + found.question_tokens + found.template_tokens);
  CHECK(found.recomputed_tokens == 0);
  REQUIRE(found.sources.size() == answered.sources.size());
  for (size_t i = 0; i < found.sources.size(); ++i) CHECK(found.sources[i].text == answered.sources[i].text);
  CHECK(answered.timings.prompt_n == answered.recomputed_tokens);
  CHECK(found.timings.prompt_n == 0);
  CHECK(found.timings.prompt_ms == 0);
  CHECK(found.answer.empty());
  CHECK(found.finish_reason == "length");
}
