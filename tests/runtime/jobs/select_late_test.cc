// Gather by late interaction as a job: what it finds is what its plain form finds, wherever and however it runs.
#include <fmt/format.h>
#include <reform/archive.h>
#include <reform/ask.h>
#include <reform/search.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "runtime/jobs/kept_settings.h"
#include "runtime/jobs/methods/methods.h"
#include "runtime/jobs/settings.h"
#include "runtime/jobs/store_impl.h"
#include "storage/format/chunk_kind.h"
#include "tests/runtime/support/archive_bytes.h"
#include "tests/runtime/support/fenced_device.h"
#include "tests/runtime/support/late_bench.h"
#include "tests/runtime/support/plain_gather.h"
#include "tests/support/take.h"

using namespace reform;
using namespace reform::test;

namespace {

// The heads of the bench's usual file, with maps: what is passed and what is weighed differ from head to head.
// The first heads, each number of their maps another.
constexpr char kOtherMaps[] = R"({"sets": {
  "balanced": {"heads": [["q1.1", -0.2, 0.3, 0.6], ["k1.0", 0.2, 0.3, 1.1], ["v2.1", 0.4, 0.15, -0.3]],
               "lexical": [0.3, 0.4, -0.5], "length": 0.7, "confidence": [-2, 0.25]}}})";
constexpr char kWithoutMaps[] = R"({"heads": ["q1.1", "k1.0", "v2.1"]})";

const std::vector<SearchQuestion> kQuestions = {
    {"where are the blue stones of Müller?"}, {"4711"}, {"who saw the green river? and where are the stones?"}};

// All of a source but where its file stands, to the last bit.
std::string shown(const std::vector<Source>& sources) {
  std::string text;
  for (const Source& s : sources) {
    text += fmt::format("{} {}-{}:{} {} {} {}", s.context, s.begin_byte, s.end_byte, s.begin_line, s.score, s.edge,
                        s.round);
    for (const ScorePart& part : s.parts) text += fmt::format(" {}={}", part.name, part.score);
    text += " " + s.text + "\n";
  }
  return text;
}

std::vector<SearchResult> found(IngestBench& bench, const std::vector<std::string>& names, const SearchOptions& options,
                                const AskMethod& method = reform_method()) {
  std::vector<SearchResult> results;
  const SearchCallbacks keep{.on_result = [&](const SearchResult& r) { return results.push_back(r), true; },
                             .on_phase = {}};
  const Status status = search_with(method, bench.engine(), bench.store(), names, kQuestions, options, keep);
  INFO(status.message);
  REQUIRE(status.ok());
  REQUIRE(results.size() == kQuestions.size());
  return results;
}

std::string shown(const std::vector<SearchResult>& results) {
  std::string text;
  for (const SearchResult& r : results) text += fmt::format("{} {}\n", r.question, r.confidence) + shown(r.sources);
  return text;
}

PlainContext whole(OpenContext& context, const std::vector<std::byte>& question) {
  PlainContext all{take(context.data->read_tokens(0, context.n_tokens())).ids, {}, question, context.settings.maps};
  REQUIRE(context.data
              ->scan(kEmbeddingRows,
                     [&](TokenRange, std::span<const std::byte> rows) -> Status {
                       all.rows.insert(all.rows.end(), rows.begin(), rows.end());
                       return {};
                     })
              .ok());
  return all;
}

// Selects, and compares with the plain form.
Result<Selection> select_and_compare(Ask& ask, const Query& query) {
  const Selection got = take(select_by_late_interaction(ask, query));
  std::vector<PlainContext> contexts;
  for (size_t c = 0; c < ask.contexts.size(); ++c) contexts.push_back(whole(ask.contexts[c], query.states[c]));
  const ContextSettings& settings = ask.contexts[0].settings;
  const PlainSelection want = plain_gather(*ask.engine.tokenizer, {int64_t(settings.heads.size()), settings.head_dim},
                                           contexts, query.ids, ask.options);
  CHECK(got.confidence == Approx(want.confidence).margin(1e-4));
  const auto same_places = [](const Span& a, const Span& b) {
    return a.context == b.context && a.begin_token == b.begin_token && a.end_token == b.end_token && a.edge == b.edge &&
           a.best_begin_token == b.best_begin_token && a.best_end_token == b.best_end_token;
  };
  if (!std::ranges::equal(got.spans, want.spans, same_places)) {
    CHECK(want.smallest_gap < 1e-5);  // else rounding explains it
    return got;
  }
  for (size_t i = 0; i < got.spans.size(); ++i) {
    const Span &a = got.spans[i], &b = want.spans[i];
    CAPTURE(i, a.begin_token, a.end_token);
    CHECK(double(a.score) == Approx(double(b.score)).margin(1e-4));
    CHECK(a.round == b.round);
    REQUIRE(a.parts.size() == b.parts.size());
    for (size_t p = 0; p < a.parts.size(); ++p) CHECK(a.parts[p] == Approx(b.parts[p]).margin(1e-4));
  }
  return got;
}

ContextSettings settings_of(IngestBench& bench, const std::string& name) {
  const auto data = take(bench.store().impl().contexts->open_reader(name));
  return take(parse_settings(data->meta().settings, name));
}

}  // namespace

TEST_CASE("late gather: passages, scores, rounds and confidence are the plain form's", "[runtime][late]") {
  LateBench bench;
  AskMethod method = reform_method();
  method.select = select_and_compare;
  for (const auto& names : {std::vector<std::string>{"a"}, {"b"}, {"c", "a", "b"}}) {
    for (const int64_t budget : {0, 1, 50, 300, 1 << 20}) {
      for (const int64_t rounds : {1, 2}) {
        const SearchOptions options = gathering(budget, rounds, budget == 50 ? 0 : 37);
        CAPTURE(names, budget, rounds);
        const auto compared = found(bench, names, options, method);
        CHECK(shown(compared) == shown(found(bench, names, options)));  // search takes this way by itself
        for (const SearchResult& r : compared) {
          CHECK(r.gathered_tokens <= budget);
          if (budget == 1 || (budget == 50 && names[0] != "b")) CHECK(r.gathered_tokens > 0);
          if (budget == 1 << 20)
            CHECK(r.gathered_tokens == [&] {
              int64_t n = 0;
              for (const std::string& name : names) n += bench.store().find(name).value().n_tokens;
              return n;
            }());
        }
      }
    }
  }
}

TEST_CASE("late gather: each context is scored by its own maps, in any order", "[runtime][late]") {
  LateBench bench;
  bench.use_heads(kOtherMaps);
  REQUIRE(bench.ingest("other", {text_of(4, 2500)}, in_chunks(64)).ok());
  AskMethod method = reform_method();
  method.select = select_and_compare;
  for (const auto& names : {std::vector<std::string>{"other", "a"}, {"a", "other"}, {"b", "other", "c"}}) {
    for (const int64_t rounds : {1, 2}) {
      CAPTURE(names, rounds);
      for (const SearchResult& r : found(bench, names, gathering(1 << 20, rounds), method))
        CHECK(r.sources.size() == names.size());  // all of each
      found(bench, names, gathering(300, rounds), method);
    }
  }
}

TEST_CASE("replace: what was begun with other maps of the same heads is begun anew", "[runtime][late]") {
  LateBench bench;
  IngestOptions options = in_chunks(64);
  options.checkpoint_seconds = 0;
  options.on_existing = IngestOptions::OnExisting::kReplace;
  const std::string text = text_of(4, 2500);
  bench.use_heads(kOtherMaps);
  CHECK(bench.ingest_stopped("a", {text}, options, 2));
  std::string maps = kOtherMaps;
  maps.replace(maps.find("0.7,"), 4, "0.9,");
  bench.use_heads(maps);
  REQUIRE(bench.ingest("a", {text}, options).ok());
  const auto made = bench.store().find("a");
  REQUIRE(made.ok());
  CHECK(made.value().settings_json.find("0.9") != std::string::npos);
  CHECK(made.value().settings_json.find("0.7") == std::string::npos);
  const ContextSettings kept = take(parse_settings(made.value().settings_json, "a"));
  HeadSet given{.heads = kept.heads, .maps = kept.maps};
  CHECK(kept_settings(options, &given, kept) == "");
  given.maps.length_weight += 1;
  CHECK(kept_settings(options, &given, kept) == "the maps that weigh its heads, not those given");
}

TEST_CASE("late gather: a second round finds what the first does not", "[runtime][late]") {
  LateBench bench;
  int64_t n_of_second = 0;
  for (const SearchResult& r : found(bench, {"a", "c"}, gathering(400, 2))) {
    const auto of_round = [&](int round) { return std::ranges::count(r.sources, round, &Source::round); };
    CHECK(of_round(1) > 0);
    CHECK(of_round(1) + of_round(2) == int64_t(r.sources.size()));
    n_of_second += of_round(2);  // one beside a better passage of the first round is joined with it
    for (const Source& s : r.sources) {
      REQUIRE(s.parts.size() == 5);
      CHECK((s.parts[0].name == "q1.1" && s.parts[1].name == "k1.0" && s.parts[2].name == "v2.1"));
      CHECK((s.parts[3].name == "lexical" && s.parts[4].name == "length"));
    }
  }
  CHECK(n_of_second > 0);
}

TEST_CASE("late gather: the first round has what the second leaves over, down to the smallest budget",
          "[runtime][late]") {
  LateBench bench;
  AskMethod method = reform_method();
  method.select = select_and_compare;
  for (const int64_t budget : {2, 24, 100, 250}) {
    for (const SearchResult& r : found(bench, {"a", "c"}, gathering(budget, 2), method)) {
      CAPTURE(budget, r.question, r.gathered_tokens);
      CHECK((r.gathered_tokens <= budget && r.gathered_tokens > budget - 96));  // no further passage has room
      if (budget <= 24) CHECK(r.gathered_tokens == budget);
    }
  }
}

TEST_CASE("late gather: ask finds what search finds", "[runtime][late]") {
  LateBench bench;
  AskOptions options;
  static_cast<GatherOptions&>(options) = gathering(300, 2, 10);
  options.sampling.max_new_tokens = 0;
  const auto results = found(bench, {"a", "b"}, gathering(300, 2, 10));
  for (const SearchResult& r : results) {
    AskResult asked = take(ask(bench.engine(), bench.store(), {"a", "b"}, r.question, options));
    rank_sources(asked.sources);
    CHECK(shown(asked.sources) == shown(r.sources));
    CHECK(asked.confidence == r.confidence);
    CHECK((r.confidence > 0 && r.confidence < 1));
  }
  // Where nothing is looked for, nothing is known.
  CHECK(found(bench, {"a"}, gathering(0))[0].confidence == -1);
}

TEST_CASE("late gather: the same on a device with memory of its own, and with any number of threads",
          "[runtime][late][device]") {
  LateBench bench;
  const SearchOptions options = gathering(300, 2, 20);
  const std::string want = shown(found(bench, {"a", "b", "c"}, options));
  for (const int n_threads : {1, 3}) {
    LateBench other(n_threads);
    CHECK(shown(found(other, {"a", "b", "c"}, options)) == want);
  }
  LateBench there(2, IngestBench::Memory::kFenced);
  CHECK(shown(found(there, {"a", "b", "c"}, options)) == want);
  const MemoryAccount& account = there.engine().impl().device->account();
  CHECK(account.peak_bytes(MemoryCategory::kIndex) > 0);
  CHECK(account.current_total_bytes() == account.current_bytes(MemoryCategory::kWeights));
}

TEST_CASE("late gather: a device that fails while it scores is one error", "[runtime][late][device]") {
  LateBench bench(2, IngestBench::Memory::kFenced);
  auto& device = static_cast<FencedDevice&>(*bench.engine().impl().device);
  int n_failed = 0;
  for (int64_t n = 0;; n += 1 + n / 4) {
    device.fail_after(n);
    const auto result = search(bench.engine(), bench.store(), {"a"}, kQuestions[0].text, gathering(100, 2));
    if (result.ok()) break;
    CHECK(result.status().code == Code::kUnavailable);
    ++n_failed;
    REQUIRE(n < 100'000);
  }
  CHECK(n_failed > 3);
}

TEST_CASE("late gather: without a letter or a digit nothing is known", "[runtime][late]") {
  LateBench bench;
  const auto confidence = [&](const std::string& question) {
    return take(search(bench.engine(), bench.store(), {"a"}, question, gathering(100))).confidence;
  };
  for (const char* question : {"???", "…", "—", "»«", "😀"}) CHECK(confidence(question) == -1);
  for (const char* question : {"a?", "7", "é"}) CHECK(confidence(question) > 0);
}

TEST_CASE("late gather: a context without maps is gathered by the paper's score, with one remark", "[runtime][late]") {
  LateBench bench;
  bench.use_heads(kWithoutMaps);
  REQUIRE(bench.ingest("old", {text_of(1, 3500)}, in_chunks(64)).ok());
  CHECK(settings_of(bench, "old").maps.empty());
  std::vector<std::string> remarks;
  bench.engine().impl().log = [&](LogLevel, const std::string& line) { remarks.push_back(line); };
  const SearchOptions options = gathering(100);
  const auto of_old = found(bench, {"old"}, options);
  CHECK(std::ranges::count_if(remarks, [](const std::string& line) {
          return line == "context 'old' was made with heads for the paper's score only; gathering by that score";
        }) == 1);
  for (const SearchResult& r : of_old) {
    CHECK((r.gathered_tokens == 100 && r.confidence == -1));
    for (const Source& s : r.sources) CHECK((s.round == 0 && s.parts.empty()));
  }
  remarks.clear();
  SearchOptions by_paper = options;
  by_paper.gather_score = "paper", by_paper.rounds = GatherOptions::kAuto;
  CHECK(shown(found(bench, {"old"}, by_paper)) == shown(of_old));
  // A context with maps can be gathered so, too, and is of the same heads.
  auto of_a = found(bench, {"a"}, by_paper);
  for (SearchResult& r : of_a) {
    for (Source& s : r.sources) s.context = "old";
  }
  CHECK(shown(of_a) == shown(of_old));
  CHECK(remarks.empty());
  CHECK(shown(found(bench, {"a"}, options)) != shown(of_a));

  SearchOptions late = options;
  late.gather_score = "late", late.pool_window = GatherOptions().pool_window;
  CHECK(shown(found(bench, {"a"}, late)) == shown(found(bench, {"a"}, options)));
  // With others that have maps, in either order.
  for (const auto& names : {std::vector<std::string>{"old"}, {"old", "a"}, {"a", "old"}}) {
    CAPTURE(names);
    const Status refused = search(bench.engine(), bench.store(), names, "why?", late).status();
    CHECK(refused.code == Code::kUsage);
    CHECK(refused.message ==
          "context 'old' was made with heads for the paper's score only; ingest its text again to "
          "use --gather-score late");
    remarks.clear();
    CHECK(shown(found(bench, names, options)) == shown(found(bench, names, by_paper)));
    CHECK(remarks.size() == 1);
  }
}

TEST_CASE("late gather: a depth chooses the heads and maps that a context keeps", "[runtime][late]") {
  LateBench bench;
  IngestOptions options = in_chunks(64);
  options.depth = "fast";
  REQUIRE(bench.ingest("fast", {text_of(4, 900)}, options).ok());
  const ContextSettings fast = settings_of(bench, "fast"), usual = settings_of(bench, "a");
  CHECK(to_string(fast.heads) == "k0.1");
  CHECK((fast.maps.heads.size() == 1 && fast.maps.lexical.weight == 0.5));
  CHECK(to_string(usual.heads) == "q1.1 k1.0 v2.1");
  CHECK((usual.maps.heads.size() == 3 && usual.maps.lexical.weight == 0.6));
  options.depth = "paper";
  REQUIRE(bench.ingest("paper", {text_of(4, 900)}, options).ok());
  CHECK(settings_of(bench, "paper").maps.empty());
  const Status unlike = search(bench.engine(), bench.store(), {"a", "fast"}, "why?").status();
  CHECK(unlike.code == Code::kWrongModel);
  CHECK(unlike.message.find("were read at different depths (up to layers 2 and 0, by") != std::string::npos);
  AskMethod method = reform_method();
  method.select = select_and_compare;
  found(bench, {"fast"}, gathering(60, 2), method);
  options.depth = "deep";
  const auto refused = bench.ingest("deep", {text_of(4, 900)}, options);
  CHECK(refused.status().code == Code::kUsage);
  CHECK(refused.status().message ==
        "no heads for the depth 'deep' are known for this model; known: balanced, fast, paper; "
        "`reform heads` chooses them");
}

TEST_CASE("late gather: export and import keep the maps, and equal contexts give equal archives", "[runtime][late]") {
  LateBench bench, other(1);
  const std::string bytes = exported(bench.store(), "a");
  CHECK(bytes.find("\"maps\"") != std::string::npos);
  CHECK((exported(other.store(), "a") == bytes));
  IngestBench plain;  // whose heads file has no maps
  take(import_bytes(plain.store(), bytes, {.name = "a", .model_path = {}, .cache_dir = {}}));
  const SearchOptions options = gathering(300, 2);
  CHECK(shown(found(plain, {"a"}, options)) == shown(found(bench, {"a"}, options)));
  CHECK((exported(plain.store(), "a") == bytes));
}

TEST_CASE("late gather: appended text is found as if it had been read at once", "[runtime][late]") {
  LateBench bench;
  IngestOptions append = in_chunks(64);
  append.on_existing = IngestOptions::OnExisting::kAppend;
  const std::string texts[] = {text_of(7, 1700), text_of(8, 1100), text_of(9, 333)};
  REQUIRE(bench.ingest("x", {texts[0]}, in_chunks(64)).ok());
  bench.use_heads(kWithoutMaps);  // a context goes on as it was begun
  REQUIRE(bench.ingest("x", {texts[1]}, append).ok());
  REQUIRE(bench.ingest("x", {texts[2]}, append).ok());
  bench.use_heads(kWithMaps);
  REQUIRE(bench.ingest("joined", {texts[0], texts[1], texts[2]}, in_chunks(64)).ok());
  for (const int64_t rounds : {1, 2}) {
    auto joined = found(bench, {"joined"}, gathering(200, rounds, 15));
    for (SearchResult& r : joined) {
      for (Source& s : r.sources) s.context = "x";
    }
    CHECK(shown(joined) == shown(found(bench, {"x"}, gathering(200, rounds, 15))));
  }
}
