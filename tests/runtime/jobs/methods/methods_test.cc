// The list of methods: what is checked before any of them runs, and what all of them report.
#include "runtime/jobs/methods/methods.h"

#include <reform/search.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <set>
#include <string>

#include "tests/runtime/support/ingest_support.h"
#include "tests/support/take.h"

using namespace reform;
using namespace reform::test;

namespace {

// Each option of a method, set to a value that is not its default.
AskOptions with_option(const std::string& flag, const std::string& method) {
  AskOptions options;
  options.method = method;
  if (flag == "--gather-tokens") options.gather_tokens = 48;
  if (flag == "--edge-tokens") options.edge_tokens = 8;
  if (flag == "--gather-score") options.gather_score = "paper";
  if (flag == "--rounds") options.rounds = 2;
  if (flag == "--pool-window") options.pool_window = 5;
  if (flag == "--chunk-tokens") options.chunk_tokens = 100;
  if (flag == "--all-chunks") options.all_chunks = true;
  return options;
}
const std::set<std::string> kAskFlags = {"--gather-tokens", "--edge-tokens",  "--gather-score", "--rounds",
                                         "--pool-window",   "--chunk-tokens", "--all-chunks"};
constexpr const char* kSeed = "--seed";  // of an ask it belongs to the sampling, which every method heeds

bool heeds(const MethodInfo& method, const std::string& flag) { return std::ranges::count(method.options, flag) > 0; }

AskOptions asking(const std::string& method) {
  AskOptions options;
  options.method = method, options.sampling.max_new_tokens = 3;
  return options;
}

}  // namespace

TEST_CASE("methods: each has a name of its own, a summary, and options that exist", "[runtime][ask]") {
  std::set<std::string> names;
  for (const MethodInfo& method : list_methods()) {
    CAPTURE(method.name);
    CHECK(names.insert(method.name).second);
    CHECK(!method.summary.empty());
    for (const std::string& flag : method.options) CHECK((kAskFlags.contains(flag) || flag == kSeed));
    CHECK(take(method_named(method.name)).traits.name == method.name);
    CHECK(method_for_search(method.name).ok() == method.searches);
    if (method.searches) CHECK(heeds(method, "--gather-tokens"));  // a search has a budget from the start
  }
  CHECK(list_methods().front().name == AskOptions().method);
}

TEST_CASE("methods: an option is taken by those that heed it and refused by name by all others", "[runtime][ask]") {
  const auto check = [](const MethodInfo& method, const std::string& flag, const Status& status) {
    CAPTURE(method.name, flag, status.message);
    CHECK(status.ok() == heeds(method, flag));
    if (status.ok()) return;
    CHECK(status.code == Code::kUsage);
    CHECK(status.message.find("the method " + method.name + " has no use for " + flag) == 0);
  };
  for (const MethodInfo& method : list_methods()) {
    CHECK(asking(method.name).validate().ok());
    for (const std::string& flag : kAskFlags) check(method, flag, with_option(flag, method.name).validate());
    SearchOptions searching;
    searching.method = method.name;
    CHECK(searching.validate().ok() == method.searches);
    searching.seed = 3;
    if (method.searches) check(method, kSeed, searching.validate());
  }
}

TEST_CASE("methods: an unknown one is refused with the names there are", "[runtime][ask]") {
  IngestBench bench;
  REQUIRE(bench.ingest("a", {made_text(1, 300)}, IngestBench::options("h2o")).ok());
  SearchOptions searching;
  searching.method = "magic";
  for (const Status& status : {ask(bench.engine(), bench.store(), {"a"}, "the", asking("magic")).status(),
                               search(bench.engine(), bench.store(), {"a"}, "the", searching).status()}) {
    CHECK(status.code == Code::kUsage);
    for (const MethodInfo& method : list_methods()) CHECK(status.message.find(method.name) != std::string::npos);
  }
}

TEST_CASE("methods: each answers from the text, says so, and its costs add up", "[runtime][ask]") {
  IngestBench bench;
  const std::string text = made_text(1, 900);
  IngestOptions options = IngestBench::options("h2o");
  options.pages = true;
  REQUIRE(bench.ingest("a", {text}, options).ok());
  for (const MethodInfo& method : list_methods()) {
    CAPTURE(method.name);
    AskResult results[2];
    for (AskResult& r : results)
      r = take(ask(bench.engine(), bench.store(), {"a"}, "where are the stones?", asking(method.name)));
    const AskResult& r = results[0];
    CHECK(r.answer == results[1].answer);
    CHECK(r.method == method.name);
    const int64_t n_stored = method.name == "pages" ? r.gathered_tokens : 0;  // their states are not computed again
    CHECK(r.recomputed_tokens == r.gathered_tokens + r.edge_tokens + r.question_tokens + r.template_tokens - n_stored);
    CHECK(r.recomputed_tokens > 0);
    CHECK(r.full_model_tokens >= r.recomputed_tokens);
    CHECK(r.bytes_read > 0);
    CHECK(r.timings.phases_ms.size() == 5);
    int64_t n_bytes = 0;
    for (const Source& s : r.sources) {
      CHECK(s.text == text.substr(size_t(s.begin_byte), size_t(s.end_byte - s.begin_byte)));
      n_bytes += s.end_byte - s.begin_byte;
    }
    CHECK((n_bytes > 0) == (r.gathered_tokens + r.edge_tokens > 0));

    CancelToken cancel;
    cancel.cancel();
    AskCallbacks stop;
    CHECK(ask(bench.engine(), bench.store(), {"a"}, "the", asking(method.name), stop, &cancel).status().code ==
          Code::kCancelled);
    CancelToken later;
    stop.on_phase = [&](const std::string& phase) {
      if (phase == "recompute") later.cancel();
    };
    CHECK(ask(bench.engine(), bench.store(), {"a"}, "the", asking(method.name), stop, &later).status().code ==
          Code::kCancelled);
  }
}

TEST_CASE("methods: what is read for an answer is counted", "[runtime][ask]") {
  IngestBench bench;
  REQUIRE(bench.ingest("a", {made_text(1, 2500)}, IngestBench::options("h2o")).ok());
  REQUIRE(bench.ingest("b", {made_text(2, 5000)}, IngestBench::options("h2o")).ok());
  const int64_t rows[] = {int64_t(bench.snapshot("a").rows.size()), int64_t(bench.snapshot("b").rows.size())};
  const auto bytes_read = [&](const std::vector<std::string>& names, const std::string& method) {
    AskOptions options = asking(method);
    options.gather_tokens = 48;
    return take(ask(bench.engine(), bench.store(), names, "where are the stones?", options)).bytes_read;
  };
  // REFORM reads every row; the beginning of a text is one block of tokens.
  const int64_t one = bytes_read({"a"}, "reform"), both = bytes_read({"a", "b"}, "reform");
  CHECK(one > rows[0]);
  CHECK(both - one > rows[1]);
  CHECK(bytes_read({"a"}, "first") < rows[0]);
  SearchOptions searching;
  searching.gather_tokens = 48;
  const SearchResult found = take(search(bench.engine(), bench.store(), {"a"}, "where are the stones?", searching));
  CHECK(found.method == "reform");
  CHECK(found.bytes_read > rows[0]);
}
