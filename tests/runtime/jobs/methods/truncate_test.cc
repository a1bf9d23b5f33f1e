// The methods that answer from a part of the text that the question does not choose, and the one that takes all.
#include <reform/search.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "runtime/jobs/methods/methods.h"
#include "tests/runtime/support/late_bench.h"
#include "tests/runtime/support/plain_gather.h"
#include "tests/support/take.h"

using namespace reform;
using namespace reform::test;

namespace {

// A token of the joined text.
struct Place {
  std::string context;
  int64_t begin_byte, end_byte;
  auto operator<=>(const Place&) const = default;
};

// Without characters of several bytes, so that each token is whole characters and no source is widened.
std::string plain_text(uint64_t seed, size_t n_bytes) {
  std::string text = text_of(seed, n_bytes);
  std::erase_if(text, [](unsigned char c) { return c >= 0x80; });
  return text;
}

std::vector<Place> all_tokens(IngestBench& bench, const std::vector<std::string>& names) {
  std::vector<Place> all;
  for (const std::string& name : names) {
    const std::vector<int64_t> begins = bench.snapshot(name).begin_bytes;
    for (size_t t = 0; t + 1 < begins.size(); ++t) all.push_back({name, begins[t], begins[t + 1]});
  }
  return all;
}

// Whether the sources are these tokens and no others.
bool are(const std::vector<Source>& sources, std::span<const Place> tokens) {
  std::set<std::pair<std::string, int64_t>> got, want;
  for (const Source& s : sources)
    for (int64_t b = s.begin_byte; b < s.end_byte; ++b) got.insert({s.context, b});
  for (const Place& p : tokens)
    for (int64_t b = p.begin_byte; b < p.end_byte; ++b) want.insert({p.context, b});
  return got == want;
}

AskOptions asking(const std::string& method, int64_t gather_tokens = GatherOptions::kAuto, int64_t n_new = 0) {
  AskOptions options;
  options.method = method, options.gather_tokens = gather_tokens, options.sampling.max_new_tokens = n_new;
  return options;
}

constexpr const char* kQuestion = "where are the stones?";

struct Bench : IngestBench {
  const std::vector<std::string> names = {"long", "short"};
  const int64_t window = engine().model().trained_window_tokens;
  int64_t n_long = 0, n_short = 0;

  Bench() {
    n_long = take(ingest("long", {plain_text(1, 9000)}, options("h2o"))).context.n_tokens;
    n_short = take(ingest("short", {plain_text(2, 400)}, options("h2o"))).context.n_tokens;
    REQUIRE(n_long > window);
    REQUIRE(n_short < window / 2);
  }
  Result<AskResult> answer(const std::vector<std::string>& of, const AskOptions& options) {
    return ask(engine(), store(), of, kQuestion, options);
  }
};

}  // namespace

TEST_CASE("first and last: the budget's tokens from an end of the joined text", "[runtime][ask]") {
  Bench bench;
  const std::vector<Place> all = all_tokens(bench, bench.names);
  for (const int64_t budget : {int64_t{1}, int64_t{37}, bench.n_short, bench.n_short + 5}) {
    CAPTURE(budget);
    const auto n = size_t(budget);
    for (const auto& names : {bench.names, {"short", "long"}}) {
      const std::vector<Place> joined = all_tokens(bench, names);
      for (const std::string method : {"first", "last"}) {
        const AskResult r = take(bench.answer(names, asking(method, budget)));
        CHECK(r.gathered_tokens == budget);
        CHECK(r.edge_tokens == 0);
        CHECK(are(r.sources, method == "first" ? std::span(joined).first(n) : std::span(joined).last(n)));
        for (const Source& s : r.sources) CHECK(std::isnan(s.score));
      }
    }
  }
  // As a search, in the order of the text.
  SearchOptions searching;
  searching.method = "last", searching.gather_tokens = bench.n_short + 5;
  const SearchResult found = take(search(bench.engine(), bench.store(), bench.names, kQuestion, searching));
  CHECK(are(found.sources, std::span(all).last(size_t(bench.n_short + 5))));
  CHECK(found.method == "last");
  CHECK(found.sources.front().context == "long");
}

TEST_CASE("first and last: without a budget they fill the model's window to the last token", "[runtime][ask]") {
  Bench bench;
  REQUIRE(
      bench.ingest("files", {plain_text(3, 500), plain_text(4, 700), plain_text(5, 9000)}, bench.options("h2o")).ok());
  for (const auto& names : {std::vector<std::string>{"long"}, {"files"}, {"short", "files", "long"}}) {
    for (const std::string method : {"first", "last"}) {
      CAPTURE(names, method);
      const AskResult r = take(bench.answer(names, asking(method, GatherOptions::kAuto, 5)));
      CHECK(r.recomputed_tokens <= bench.window - 5);
      CHECK(r.timings.predicted_n > 0);
      // Where one more token brings no heading of a file with it.
      if (names[0] == "long") CHECK(r.recomputed_tokens == bench.window - 5);
      CHECK(bench.answer(names, asking(method, r.gathered_tokens + 1, 5)).status().code == Code::kUsage);
    }
  }
  const AskResult r = take(bench.answer({"short"}, asking("first")));
  CHECK(r.gathered_tokens == bench.n_short);
  SearchOptions searching;
  searching.method = "first", searching.gather_tokens = GatherOptions::kAuto;
  const SearchResult found = take(search(bench.engine(), bench.store(), {"long"}, kQuestion, searching));
  CHECK(found.gathered_tokens + r.question_tokens + r.template_tokens == bench.window);
}

TEST_CASE("first, last and full: where question and answer leave no room, that is said", "[runtime][ask]") {
  Bench bench;
  const AskResult r = take(bench.answer({"short"}, asking("full")));
  for (const std::string method : {"first", "last", "full"}) {
    // As much as an ask may generate beside this question; the template is not counted there.
    const Status status = bench.answer({"short"}, asking(method, -1, bench.window - r.question_tokens)).status();
    CAPTURE(method, status.message);
    CHECK(status.code == Code::kUsage);
    CHECK(status.message.find(method == "full" ? "the whole text has" : "leave no room for the text") !=
          std::string::npos);
  }
}

TEST_CASE("full: the whole text where it fits, else the counts", "[runtime][ask]") {
  Bench bench;
  const AskResult r = take(bench.answer({"short"}, asking("full", -1, 4)));
  CHECK(r.gathered_tokens == bench.n_short);
  CHECK(are(r.sources, all_tokens(bench, {"short"})));
  CHECK(r.sources.size() == 1);
  CHECK(r.prompt.find(r.sources[0].text) != std::string::npos);
  CHECK(r.full_model_tokens == bench.n_short + r.question_tokens + r.template_tokens);

  const Status status = bench.answer({"long"}, asking("full")).status();
  CHECK(status.code == Code::kUsage);
  for (const int64_t n : {bench.n_long, bench.window})
    CHECK(status.message.find(" " + std::to_string(n)) != std::string::npos);
  // To the token: as many new ones as there is room for, and one more.
  const int64_t room = bench.window - r.recomputed_tokens;
  AskOptions options = asking("full", -1, room);
  options.sampling.ignore_end = true;
  CHECK(take(bench.answer({"short"}, options)).timings.predicted_n == room);
  options.sampling.max_new_tokens = room + 1;
  CHECK(bench.answer({"short"}, options).status().code == Code::kUsage);
}

namespace {

// The random passages in their plain form: a number for each, and the largest that fit.
std::vector<Place> plain_random(IngestBench& bench, const std::vector<std::string>& names, uint64_t seed,
                                int64_t budget) {
  struct Passage {
    uint64_t number;
    std::vector<Place> tokens;
  };
  std::mt19937_64 random(seed);
  std::vector<Passage> passages;
  for (const std::string& name : names) {
    const std::vector<Place> tokens = all_tokens(bench, {name});
    std::vector<std::string> texts;
    for (const int32_t id : bench.snapshot(name).ids)
      texts.push_back(bench.engine().impl().tokenizer->token_bytes(id, true));
    int64_t begin = 0;
    for (const int64_t end : plain_cuts(texts)) {
      passages.push_back({random() >> 11, {tokens.begin() + begin, tokens.begin() + end}});
      begin = end;
    }
  }
  std::ranges::sort(passages, [](const Passage& a, const Passage& b) { return a.number > b.number; });
  std::vector<Place> chosen;
  for (const Passage& p : passages) {
    if (int64_t(chosen.size() + p.tokens.size()) <= budget)
      chosen.insert(chosen.end(), p.tokens.begin(), p.tokens.end());
  }
  return chosen;
}

}  // namespace

TEST_CASE("random: passages of gather's cutter, by the seed, within the budget", "[runtime][ask]") {
  Bench bench;
  std::set<std::string> prompts;
  for (const uint64_t seed : {0, 1, 7}) {
    for (const int64_t budget : {100, 300, 700}) {
      CAPTURE(seed, budget);
      const std::vector<Place> want = plain_random(bench, bench.names, seed, budget);
      REQUIRE(!want.empty());
      AskOptions options = asking("random", budget);
      options.sampling.seed = seed;
      const AskResult r = take(bench.answer(bench.names, options));
      CHECK(are(r.sources, want));
      CHECK(r.gathered_tokens == int64_t(want.size()));
      prompts.insert(r.prompt);
      SearchOptions searching;
      searching.method = "random", searching.gather_tokens = budget, searching.seed = seed;
      CHECK(are(take(search(bench.engine(), bench.store(), bench.names, kQuestion, searching)).sources, want));
    }
  }
  CHECK(prompts.size() == 9);
}
