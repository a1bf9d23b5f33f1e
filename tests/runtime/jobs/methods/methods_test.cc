// The list of methods: what is checked before any of them runs, and what all of them report.
#include "runtime/jobs/methods/methods.h"

#include <reform/search.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "tests/runtime/support/ingest_support.h"

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
  return options;
}
const std::set<std::string> kFlags = {"--gather-tokens", "--edge-tokens", "--gather-score", "--rounds",
                                      "--pool-window"};

}  // namespace

TEST_CASE("methods: each has a name of its own, a summary, and options that exist", "[runtime][ask]") {
  std::set<std::string> names;
  for (const MethodInfo& method : list_methods()) {
    CAPTURE(method.name);
    CHECK(names.insert(method.name).second);
    CHECK(!method.summary.empty());
    for (const std::string& flag : method.options) CHECK(kFlags.contains(flag));
    CHECK(method_named(method.name).value().traits.name == method.name);
    CHECK(method_for_search(method.name).ok() == method.searches);
    // A search has a budget from the start.
    if (method.searches) CHECK(std::ranges::count(method.options, "--gather-tokens") == 1);
  }
  CHECK(list_methods().front().name == AskOptions().method);
}

TEST_CASE("methods: an option is taken by those that heed it and refused by name by all others", "[runtime][ask]") {
  for (const MethodInfo& method : list_methods()) {
    AskOptions defaults;
    defaults.method = method.name;
    CHECK(defaults.validate().ok());
    for (const std::string& flag : kFlags) {
      CAPTURE(method.name, flag);
      const Status status = with_option(flag, method.name).validate();
      if (std::ranges::count(method.options, flag) > 0) {
        CHECK(status.ok());
        continue;
      }
      CHECK(status.code == Code::kUsage);
      CHECK(status.message.find("the method " + method.name + " has no use for " + flag) == 0);
    }
  }
}

TEST_CASE("methods: an unknown one is refused with the names there are", "[runtime][ask]") {
  IngestBench bench;
  REQUIRE(bench.ingest("a", {made_text(1, 300)}, IngestBench::options("h2o")).ok());
  AskOptions asking;
  SearchOptions searching;
  asking.method = searching.method = "magic";
  for (const Status& status : {ask(bench.engine(), bench.store(), {"a"}, "the", asking).status(),
                               search(bench.engine(), bench.store(), {"a"}, "the", searching).status()}) {
    CHECK(status.code == Code::kUsage);
    for (const MethodInfo& method : list_methods()) CHECK(status.message.find(method.name) != std::string::npos);
  }
}

TEST_CASE("methods: an answer says which one gave it and what was read for it", "[runtime][ask]") {
  IngestBench bench;
  REQUIRE(bench.ingest("a", {made_text(1, 2500)}, IngestBench::options("h2o")).ok());
  REQUIRE(bench.ingest("b", {made_text(2, 5000)}, IngestBench::options("h2o")).ok());
  AskOptions options;
  options.gather_tokens = 48, options.sampling.max_new_tokens = 3;
  int64_t bytes_of_a = 0;
  for (const std::vector<std::string>& names : {std::vector<std::string>{"a"}, {"a", "b"}}) {
    const auto asked = ask(bench.engine(), bench.store(), names, "where are the stones?", options);
    INFO(asked.status().message);
    REQUIRE(asked.ok());
    const AskResult& r = asked.value();
    CHECK(r.method == "reform");
    CHECK(r.full_model_tokens == r.recomputed_tokens);
    // Every row is read, and the cache that the question is asked on.
    int64_t least = 0;
    for (const std::string& name : names) {
      const Snapshot stored = bench.snapshot(name);
      least += int64_t(stored.rows.size());
    }
    CHECK(r.bytes_read > least);
    CHECK(r.bytes_read > 2 * bytes_of_a);
    bytes_of_a = r.bytes_read;
  }
  SearchOptions searching;
  searching.gather_tokens = 48;
  const auto found = search(bench.engine(), bench.store(), {"a"}, "where are the stones?", searching);
  REQUIRE(found.ok());
  CHECK(found.value().method == "reform");
  CHECK(found.value().bytes_read > 0);
}
