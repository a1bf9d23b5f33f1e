// The search for heads from end to end, on a tiny model and few samples.
#include <reform/heads.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "runtime/engine/engine_impl.h"
#include "tests/runtime/support/ingest_support.h"
#include "tests/support/files.h"
#include "tests/support/take.h"

using namespace reform;
using test::IngestBench;
using test::take;

namespace {

const HeadSearchOptions kFew{.n_questions = 45, .minutes = 0, .depth = 1};

// The bench's cache directory; without the bench's heads file, so that heads are searched.
std::filesystem::path use_search(IngestBench& bench) {
  EngineOptions& options = bench.engine().impl().options;
  options.heads_file.clear();
  return std::filesystem::path(options.cache_dir) / "heads";
}

size_t n_files(const std::filesystem::path& dir) {
  size_t n = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) n += entry.is_regular_file() ? 1 : 0;
  return n;
}

// Stops the search once `tokens` are saved, and returns whether it was stopped.
bool stop_after(IngestBench& bench, int64_t tokens) {
  CancelToken cancel;
  const auto found = search_heads(
      bench.engine(), kFew,
      [&](const IngestProgress& p) {
        if (p.tokens_saved >= tokens) cancel.cancel();
      },
      &cancel);
  return found.status().code == Code::kCancelled;
}

}  // namespace

TEST_CASE("the search for heads gives three sets that ingest takes, and tables", "[runtime][heads]") {
  IngestBench bench;
  const auto dir = use_search(bench);
  const HeadSearchResult found = take(search_heads(bench.engine(), kFew));
  Engine::Impl& engine = bench.engine().impl();
  const int64_t n_layers = engine.model->shape().n_layers;
  CHECK(found.n_texts == 5);
  CHECK(found.n_questions >= 40);
  CHECK(int64_t(found.layers.size()) == n_layers);
  CHECK(found.depths.size() == 10);
  REQUIRE(found.sets.size() == 3);
  CHECK(found.sets[0].name == "fast");
  CHECK(double(found.sets[0].exit_layer) <= 0.3 * double(n_layers));
  CHECK(double(found.sets[1].exit_layer) <= 0.6 * double(n_layers));
  for (const HeadRecall& recall : {found.words_recall, found.sets[2].recall, found.layers[0].recall}) {
    for (size_t b = 1; b < recall.size(); ++b) CHECK(recall[b - 1] <= recall[b]);
    CHECK((recall.front() >= 0 && recall.back() <= 1));
  }
  const HeadSets sets =
      take(parse_heads_file(found.heads_file, "found", engine.model->shape(), engine.info.fingerprint));
  CHECK(sets.size() == 3);
  CHECK(n_files(dir) == 1);  // the features have served
  CHECK(found.kept_at == dir / (engine.info.fingerprint + ".json"));
  REQUIRE(bench.ingest("a", {test::made_text(1, 3000)}, IngestBench::options("h2o")).ok());
  CHECK(nlohmann::json::parse(bench.snapshot("a").fixed_settings).at("heads") == found.sets[1].heads);
}

TEST_CASE("a search for heads that was stopped or damaged comes to the same end, wherever memory is",
          "[runtime][heads][device]") {
  IngestBench whole;
  use_search(whole);
  const std::string want = take(search_heads(whole.engine(), kFew)).heads_file;
  for (const auto memory : {IngestBench::Memory::kHost, IngestBench::Memory::kFenced}) {
    IngestBench stopped(2, "qwen2", memory);
    const auto dir = use_search(stopped);
    REQUIRE(stop_after(stopped, 4000));
    REQUIRE(n_files(dir) == 1);
    int64_t saved_at_first = -1;
    const auto found = take(search_heads(stopped.engine(), kFew, [&](const IngestProgress& p) {
      if (saved_at_first < 0) saved_at_first = p.tokens_saved;
    }));
    CHECK(saved_at_first >= 4000);
    CHECK(found.heads_file == want);
  }
  IngestBench damaged;
  const auto dir = use_search(damaged);
  REQUIRE(stop_after(damaged, 4000));
  const auto path = std::filesystem::directory_iterator(dir)->path();
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(int64_t(std::filesystem::file_size(path)) / 3);
  file.write("damage", 6);
  file.close();
  CHECK(take(search_heads(damaged.engine(), kFew)).heads_file == want);
}

TEST_CASE("a search for heads with a limit of time goes on with the samples that it was begun with",
          "[runtime][heads]") {
  IngestBench bench;
  const auto dir = use_search(bench);
  const auto search = [&](double minutes, int64_t stop_at) {
    CancelToken cancel;
    int64_t saved_at_first = -1;
    const HeadSearchOptions limited{.n_questions = 0, .minutes = minutes, .depth = 0.6};
    const auto found = search_heads(
        bench.engine(), limited,
        [&](const IngestProgress& p) {
          if (saved_at_first < 0) saved_at_first = p.tokens_saved;
          if (stop_at > 0 && p.tokens_saved >= stop_at) cancel.cancel();
        },
        &cancel);
    CHECK(found.ok() == (stop_at == 0));
    return found.ok() ? std::pair(saved_at_first, found.value().n_texts) : std::pair(saved_at_first, int64_t(0));
  };
  search(1e-4, 4000);
  const auto [saved, n_texts] = search(1e-4, 0);
  CHECK(saved >= 4000);
  CHECK(n_texts == 8);
  CHECK(n_files(dir) == 1);
}

TEST_CASE("an unknown model's heads are searched at its first ingest, and kept", "[runtime][heads]") {
  IngestBench bench;
  const auto dir = use_search(bench);
  bench.engine().impl().head_search_s = 0;  // as few samples as there may be
  std::string said;
  bench.engine().impl().log = [&](LogLevel, const std::string& line) { said += line + "\n"; };
  // As an earlier version kept it: heads for the paper's score alone.
  std::filesystem::create_directories(dir);
  const auto kept = dir / (bench.engine().impl().info.fingerprint + ".json");
  std::ofstream(kept) << R"({"heads": ["q1.1"]})";
  REQUIRE(bench.ingest("a", {test::made_text(1, 3000)}, IngestBench::options("recent")).ok());
  CHECK(said.find("choosing them on sample texts, once") != std::string::npos);
  const HeadSets sets = take(parse_heads_file(test::read_file(kept), "kept", bench.engine().impl().model->shape()));
  CHECK(sets.size() == 3);
  CHECK(sets.contains("fast"));
  CHECK(sets.contains("balanced"));
  CHECK(sets.at("paper").heads == Heads{{1, HeadRef::Part::kQ, 1}});
  CHECK(n_files(dir) == 1);

  said.clear();
  IngestOptions deep = IngestBench::options("recent");
  deep.depth = "deep";
  const Status none = bench.ingest("b", {test::made_text(2, 3000)}, deep).status();
  CHECK(none.code == Code::kUsage);
  CHECK(none.message.find("known: balanced, fast, paper") != std::string::npos);
  deep.depth = "paper";
  CHECK(bench.ingest("c", {test::made_text(3, 3000)}, deep).ok());
  CHECK(said.find("sample texts") == std::string::npos);
}

TEST_CASE("a search for heads: what cannot be is refused", "[runtime][heads]") {
  IngestBench bench;
  for (const HeadSearchOptions& bad : {HeadSearchOptions{.n_questions = -1, .minutes = 0, .depth = 1},
                                       HeadSearchOptions{.n_questions = 0, .minutes = -1, .depth = 1},
                                       HeadSearchOptions{.n_questions = 0, .minutes = 0, .depth = 0}}) {
    CHECK(search_heads(bench.engine(), bad).status().code == Code::kUsage);
  }
  CancelToken cancel;
  cancel.cancel();
  CHECK(search_heads(bench.engine(), kFew, {}, &cancel).status().code == Code::kCancelled);
}

TEST_CASE("heads for the paper's score are not searched: without any, that is said at once", "[runtime][heads]") {
  IngestBench bench;
  use_search(bench);
  IngestOptions options = IngestBench::options("recent");
  options.depth = "paper";
  const Status none = bench.ingest("a", {test::made_text(1, 3000)}, options).status();
  CHECK(none.code == Code::kUsage);
  CHECK(none.message.find("no heads for the paper's score are known") != std::string::npos);
}

TEST_CASE("a search for heads on few questions does not replace heads that are kept", "[runtime][heads]") {
  IngestBench bench;
  const auto dir = use_search(bench);
  const HeadSearchResult first = take(search_heads(bench.engine(), kFew));
  const std::string kept = test::read_file(first.kept_at);
  HeadSearchOptions other = kFew;
  other.n_questions += 20;
  const HeadSearchResult second = take(search_heads(bench.engine(), other));
  CHECK(second.heads_file != first.heads_file);
  CHECK(second.kept_at.empty());
  CHECK(test::read_file(first.kept_at) == kept);
  CHECK(n_files(dir) == 1);
}

TEST_CASE("a first ingest chooses heads where the cache cannot be written, too", "[runtime][heads]") {
  IngestBench bench;
  use_search(bench);
  Engine::Impl& engine = bench.engine().impl();
  engine.options.cache_dir = "/proc/none";
  engine.head_search_s = 0;
  std::string said;
  engine.log = [&](LogLevel, const std::string& line) { said += line + "\n"; };
  CHECK(bench.ingest("a", {test::made_text(1, 3000)}, IngestBench::options("recent")).ok());
  CHECK(said.find("the heads found could not be kept") != std::string::npos);
}
