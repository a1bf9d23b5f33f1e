// search: a question among many finds what it finds alone, and what ask finds.
#include <reform/search.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/jobs/methods/methods.h"
#include "tests/runtime/support/ingest_support.h"

using namespace reform;
using namespace reform::test;

namespace {

const std::vector<SearchQuestion> kQuestions = {
    {"where are the blue stones?"},
    {"Ω"},
    {"a longer question, about stones and gates and all that stands between 7 of them"}};

SearchOptions few_tokens() {
  SearchOptions options;
  options.gather_tokens = 48, options.pool_window = 5;
  return options;
}

std::string shown(const std::vector<Source>& sources) {
  std::string text;
  for (const Source& s : sources) {
    text += s.context + " " + s.file + " " + std::to_string(s.begin_byte) + "-" + std::to_string(s.end_byte) + ":" +
            std::to_string(s.begin_line) + " " + std::to_string(s.score) + (s.edge ? " edge " : " ") + s.text + "\n";
  }
  return text;
}

SearchCallbacks keep(std::vector<SearchResult>& results, size_t at_most = 100) {
  return {.on_result =
              [&results, at_most](const SearchResult& result) {
                results.push_back(result);
                return results.size() < at_most;
              },
          .on_phase = {}};
}

// Whether each source is ranked, and is where it says in the bytes of its file.
void check_sources(const std::vector<Source>& sources, const std::vector<std::pair<std::string, std::string>>& files) {
  for (size_t i = 0; i < sources.size(); ++i) {
    const Source& s = sources[i];
    const auto file = std::ranges::find(files, s.file, &std::pair<std::string, std::string>::first);
    REQUIRE(file != files.end());
    const std::string& text = file->second;
    CAPTURE(s.file, s.begin_byte);
    CHECK(s.text == text.substr(size_t(s.begin_byte), size_t(s.end_byte - s.begin_byte)));
    CHECK(s.begin_line == 1 + std::count(text.begin(), text.begin() + s.begin_byte, '\n'));
    if (i > 0 && !s.edge) CHECK((!sources[i - 1].edge && sources[i - 1].score >= s.score));
  }
}

}  // namespace

TEST_CASE("search: a question among many finds what it finds alone, and what ask finds", "[runtime][search]") {
  for (const auto memory : {IngestBench::Memory::kHost, IngestBench::Memory::kFenced}) {
    for (const std::string& policy : every_policy()) {
      CAPTURE(policy);
      IngestBench bench(2, "qwen2", memory);
      for (const std::string name : {"a", "b"})
        REQUIRE(bench.ingest(name, {made_text(name[0], 1500)}, IngestBench::options(policy)).ok());
      std::vector<SearchResult> results;
      const Status status = search(bench.engine(), bench.store(), {"a", "b"}, kQuestions, few_tokens(), keep(results));
      INFO(status.message);
      REQUIRE(status.ok());
      REQUIRE(results.size() == kQuestions.size());
      for (size_t i = 0; i < results.size(); ++i) {
        const SearchResult& r = results[i];
        CHECK(r.question == kQuestions[i].text);
        CHECK(r.gathered_tokens == 48);
        CHECK(r.edge_tokens == 0);
        CHECK(r.question_tokens > 0);
        CHECK(r.timings.phases_ms[0] == results[0].timings.phases_ms[0]);  // one load
        CHECK(r.memory.peak_host_bytes > 0);
        const auto alone = search(bench.engine(), bench.store(), {"a", "b"}, kQuestions[i].text, few_tokens());
        REQUIRE(alone.ok());
        CHECK(shown(alone.value().sources) == shown(r.sources));

        AskOptions asking;
        static_cast<GatherOptions&>(asking) = few_tokens();
        asking.sampling.max_new_tokens = 0;
        auto asked = ask(bench.engine(), bench.store(), {"a", "b"}, kQuestions[i].text, asking);
        REQUIRE(asked.ok());
        rank_sources(asked.value().sources);
        CHECK(shown(asked.value().sources) == shown(r.sources));
      }
    }
  }
}

TEST_CASE("search: every passage and its line are those of the file", "[runtime][search]") {
  IngestBench bench;
  const std::string texts[] = {made_text(1, 700) + "\r\n\n", "\n\n\nsecond file\nwithout a line feed at its end",
                               made_text(2, 600) + "\nlast line"};
  REQUIRE(bench.ingest_files("c", {texts[0], texts[1]}, IngestBench::options("h2o")).ok());
  IngestOptions append = IngestBench::options("h2o");
  append.on_existing = IngestOptions::OnExisting::kAppend;
  REQUIRE(bench.ingest_files("c", {texts[2]}, append).ok());
  SearchOptions options = few_tokens();
  options.gather_tokens = 200, options.edge_tokens = 20;
  const auto found = search(bench.engine(), bench.store(), {"c"}, "where are the stones?", options);
  INFO(found.status().message);
  REQUIRE(found.ok());
  const SearchResult& r = found.value();
  CHECK(r.sources.size() > 4);
  CHECK(std::ranges::count(r.sources, true, &Source::edge) >= 2);
  check_sources(r.sources,
                {{bench.file_path(0), texts[0]}, {bench.file_path(1), texts[1]}, {bench.file_path(2), texts[2]}});
  CHECK(std::ranges::any_of(r.sources, [](const Source& s) { return s.begin_line > 3; }));
}

TEST_CASE("search: lines of files of one name, and of bytes that are not UTF-8", "[runtime][search]") {
  IngestBench bench;
  const std::string texts[] = {made_text(3, 500) + "\n\n", "\xff\xfe\n\xf0\x9f\n\n" + made_text(4, 500)};
  std::istringstream streams[] = {std::istringstream(texts[0]), std::istringstream(texts[1])};
  IngestOptions lossy = IngestBench::options("h2o");
  lossy.lossy = true;
  REQUIRE(ingest(bench.engine(), bench.store(), "c", {{"-", &streams[0]}, {"-", &streams[1]}}, lossy).ok());
  SearchOptions options = few_tokens();
  options.gather_tokens = 0, options.edge_tokens = 30;
  const auto found = search(bench.engine(), bench.store(), {"c"}, "stones", options);
  REQUIRE(found.ok());
  REQUIRE(found.value().sources.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    const Source& s = found.value().sources[i];
    CHECK(s.file == "-");
    CHECK(s.begin_line == 1 + std::count(texts[i].begin(), texts[i].begin() + s.begin_byte, '\n'));
  }
  CHECK(found.value().sources[1].begin_line > 3);
}

TEST_CASE("rank_sources: the best match first, equal ones as they were, edges last", "[runtime][search]") {
  const auto source = [](const std::string& text, bool edge, double score) {
    return Source{.context = "", .file = "", .edge = edge, .score = score, .text = text};
  };
  std::vector<Source> sources = {source("first edge", true, 0),  source("fair", false, 0.5),
                                 source("best", false, 0.9),     source("as fair", false, 0.5),
                                 source("unlike", false, -0.25), source("last edge", true, 0)};
  rank_sources(sources);
  std::string order;
  for (const Source& s : sources) order += s.text + "; ";
  CHECK(order == "best; fair; as fair; unlike; first edge; last edge; ");
  // Scores of a second round are of another question.
  sources = {source("led to", false, 30), source("also led to", false, 40), source("best", false, 5),
             source("edge", true, 0)};
  sources[0].round = sources[1].round = 2, sources[2].round = 1;
  rank_sources(sources);
  CHECK((sources[0].text == "best" && sources[1].text == "also led to" && sources[3].text == "edge"));
}

TEST_CASE("search: a method is asked once for all questions, and stops when told", "[runtime][search]") {
  IngestBench bench;
  REQUIRE(bench.ingest("a", {made_text(5, 900)}, IngestBench::options("h2o")).ok());
  int n_queries = 0, n_selects = 0;
  AskMethod method = reform_method();
  method.query = [&](Ask& ask, std::span<const Ids> questions) {
    ++n_queries;
    return query_states(ask, questions);
  };
  method.select = [&](Ask& ask, const Query& query) {
    CHECK(ask.question == kQuestions[size_t(n_selects++)].text);
    return select_by_score(ask, query);
  };
  std::vector<SearchResult> results;
  const auto run = [&](const SearchCallbacks& callbacks, const CancelToken* cancel = nullptr) {
    n_queries = n_selects = 0;
    results.clear();
    return search_with(method, bench.engine(), bench.store(), {"a"}, kQuestions, few_tokens(), callbacks, cancel);
  };
  CHECK(run(keep(results)).ok());
  CHECK((n_queries == 1 && n_selects == 3 && results.size() == 3));
  CHECK(run(keep(results, 2)).ok());
  CHECK((n_queries == 1 && n_selects == 2 && results.size() == 2));
  CancelToken cancel;
  const SearchCallbacks cancelling{.on_result = [&](const SearchResult&) { return cancel.cancel(), true; },
                                   .on_phase = {}};
  CHECK(run(cancelling, &cancel).code == Code::kCancelled);
  CHECK(bench.store().find("a").value().last_asked_unix_s > 0);
  method.query = [](Ask&, std::span<const Ids>) { return std::vector<Query>(); };
  CHECK(run(keep(results)).code == Code::kInternal);
}

TEST_CASE("search: the first results of many questions come before the last is run", "[runtime][search]") {
  IngestBench bench;
  REQUIRE(bench.ingest("a", {made_text(8, 400)}, IngestBench::options("h2o")).ok());
  std::vector<SearchQuestion> questions;
  questions.reserve(70);
  for (int i = 0; i < 70; ++i) questions.push_back({"question " + std::to_string(i)});
  std::vector<size_t> sizes, found_before;
  std::vector<SearchResult> results;
  AskMethod method = reform_method();
  method.query = [&](Ask& ask, std::span<const Ids> some) {
    sizes.push_back(some.size());
    found_before.push_back(results.size());
    return query_states(ask, some);
  };
  REQUIRE(search_with(method, bench.engine(), bench.store(), {"a"}, questions, few_tokens(), keep(results)).ok());
  CHECK(sizes == std::vector<size_t>{32, 32, 6});
  CHECK(found_before == std::vector<size_t>{0, 32, 64});
  REQUIRE(results.size() == questions.size());
  for (size_t i = 0; i < results.size(); ++i) CHECK(results[i].question == questions[i].text);
  const auto alone = search(bench.engine(), bench.store(), {"a"}, questions[69].text, few_tokens());
  CHECK(shown(alone.value().sources) == shown(results[69].sources));
}

TEST_CASE("search: an error names its question, before anything is searched", "[runtime][search]") {
  IngestBench bench;
  REQUIRE(bench.ingest("a", {made_text(6, 300)}, IngestBench::options("h2o")).ok());
  const auto refused = [&](const std::vector<SearchQuestion>& questions, Code code, const std::string& says) {
    std::vector<SearchResult> results;
    const Status status = search(bench.engine(), bench.store(), {"a"}, questions, few_tokens(), keep(results));
    CAPTURE(status.message, says);
    CHECK(status.code == code);
    CHECK(status.message.starts_with(says));
    CHECK(results.empty());
  };
  std::string endless;
  for (int i = 0; i < 3000; ++i) endless += "why ";
  refused({}, Code::kUsage, "there is no question");
  refused({{" \n"}}, Code::kUsage, "the question is empty");
  refused({{"why?"}, {""}, {"who?"}}, Code::kUsage, "question 2: the question is empty");
  refused({{"why?"}, {"\t", "q.txt:7"}}, Code::kUsage, "q.txt:7: the question is empty");
  refused({{"why?"}, {"a\xff"}}, Code::kBadText, "question 2: ");
  refused({{"why?"}, {endless, "q.txt:2"}}, Code::kUsage, "q.txt:2: the question's ");
  const auto code = [&](const std::vector<std::string>& names, const SearchOptions& options) {
    return search(bench.engine(), bench.store(), names, "why?", options).status().code;
  };
  CHECK(code({}, few_tokens()) == Code::kUsage);
  CHECK(code({"b"}, few_tokens()) == Code::kNotFound);
  CHECK(code({"a", "a"}, few_tokens()) == Code::kUsage);
  SearchOptions even;
  even.pool_window = 4;
  CHECK(code({"a"}, even) == Code::kUsage);
}
