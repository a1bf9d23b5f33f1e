// The store's cap during an ingest: the ingest stops with everything saved and can go on, or other contexts make room.
// Asking a context is remembered.
#include <catch2/catch.hpp>
#include <future>
#include <sstream>
#include <thread>

#include "runtime/engine/engine_impl.h"
#include "runtime/jobs/store_impl.h"
#include "tests/runtime/support/ingest_support.h"

using namespace reform;
using namespace reform::test;

namespace {

// Room beyond what is used: enough for RocksDB's own files, but too little for a long text.
constexpr int64_t kRoom = (int64_t{2} << 20) + 700'000;
// Too little to begin anything.
constexpr int64_t kTooLittleRoom = int64_t{1} << 20;

void limit(Store& store, int64_t max_bytes, bool evict) {
  REQUIRE(store.set_limit({max_bytes, evict}).ok());
  const auto use = store.use();
  REQUIRE(use.ok());
  CHECK(use.value().max_bytes == max_bytes);
  CHECK(use.value().evict_when_full == evict);
}

int64_t used(Store& store) { return store.use().value().used_bytes; }

IngestOptions options(const std::string& policy) {
  IngestOptions o = IngestBench::options(policy);
  o.checkpoint_seconds = 0;  // after every chunk, so that the store is busy
  return o;
}

}  // namespace

TEST_CASE("a full store stops an ingest with its text so far saved, with room it ends as if never stopped",
          "[runtime]") {
  const std::string policy = GENERATE("h2o", "none");
  CAPTURE(policy);
  IngestBench bench;
  const std::string text = made_text(5, 30'000);
  REQUIRE(bench.ingest("whole", {text}, options(policy)).ok());
  REQUIRE(bench.ingest("old", {made_text(6, 2000)}, options(policy)).ok());
  const int64_t cap = used(bench.store()) + kRoom;
  limit(bench.store(), cap, false);
  int64_t last_saved = 0;
  const auto stopped =
      bench.ingest("again", {text}, options(policy), [&](const IngestProgress& p) { last_saved = p.tokens_saved; });
  INFO(stopped.status().message);
  REQUIRE(stopped.status().code == Code::kNoSpace);
  CHECK(stopped.status().message.find("\"whole\"") != std::string::npos);
  CHECK(stopped.status().message.find("tokens are saved") != std::string::npos);
  CHECK(last_saved > 0);
  CHECK(used(bench.store()) <= cap);
  const auto begun = bench.store().find("again");
  REQUIRE(begun.ok());
  CHECK(begun.value().state == "partial");
  CHECK(begun.value().n_tokens >= last_saved);
  // While there is no room, the same command fails in the same way and changes nothing.
  CHECK(bench.ingest("again", {text}, options(policy)).status().code == Code::kNoSpace);
  CHECK(bench.store().find("again").value().n_tokens >= last_saved);

  limit(bench.store(), 0, false);
  const auto done = bench.ingest("again", {text}, options(policy));
  INFO(done.status().message);
  REQUIRE(done.ok());
  CHECK(done.value().outcome == IngestResult::Outcome::kResumed);
  CHECK(done.value().tokens_run < done.value().context.n_tokens);
  check_same(bench.snapshot("again"), bench.snapshot("whole"));
}

TEST_CASE("with eviction the context asked least recently makes room, and the ingest says so", "[runtime]") {
  IngestBench bench;
  const std::string text = made_text(7, 60'000);
  for (const char* name : {"asked", "not asked", "pinned"}) {
    REQUIRE(bench.ingest(name, {text}, IngestBench::options("h2o")).ok());
  }
  REQUIRE(bench.store().set_pinned("pinned", true).ok());
  CHECK(bench.store().find("asked").value().last_asked_unix_s == 0);
  AskOptions ask;
  ask.sampling.max_new_tokens = 1;
  ask.gather_tokens = 48, ask.edge_tokens = 8;
  REQUIRE(reform::ask(bench.engine(), bench.store(), {"asked"}, "where?", ask).ok());
  CHECK(bench.store().find("asked").value().last_asked_unix_s > 0);
  const int64_t cap = used(bench.store()) + kTooLittleRoom;
  limit(bench.store(), cap, true);
  const auto done = bench.ingest("new", {made_text(8, 2000)}, options("h2o"));
  INFO(done.status().message);
  REQUIRE(done.ok());
  REQUIRE(done.value().evicted.size() == 1);
  CHECK(done.value().evicted[0].context == "not asked");
  CHECK(done.value().evicted[0].bytes > 0);
  CHECK(used(bench.store()) <= cap);
  CHECK(bench.store().find("pinned").value().pinned);
  CHECK(bench.store().find("not asked").status().code == Code::kNotFound);
  // With a cap below what is used, the text is not even read.
  limit(bench.store(), used(bench.store()) / 4, false);
  std::istringstream unread(text);
  const auto refused = reform::ingest(bench.engine(), bench.store(), "more", {{"text", &unread}}, options("h2o"));
  CHECK(refused.status().code == Code::kNoSpace);
  CHECK(unread.tellg() == 0);
  CHECK(reform::ask(bench.engine(), bench.store(), {"pinned"}, "where?", ask).ok());
}

TEST_CASE("no cap costs a context unless the ingest succeeds, and then exactly the least recently used go",
          "[runtime]") {
  enum How { kNew, kAppend, kResume, kReplace, kManyChunks };
  const auto how = How(GENERATE(int(kNew), int(kAppend), int(kResume), int(kReplace), int(kManyChunks)));
  CAPTURE(int(how));
  IngestBench bench;
  std::vector<std::string> others = {"a", "b", "c", "d"};  // in the order of their use
  IngestOptions o = IngestBench::options("h2o");
  for (const std::string& name : others) REQUIRE(bench.ingest_file(name, made_text(11, 900), o).ok());
  const std::string text = made_text(12, how == kManyChunks ? 1500 : 6000),
                    name = how == kAppend || how == kReplace ? "d" : "new";
  if (name == "d") others.pop_back();
  if (how == kResume) REQUIRE(bench.file_stopped("new", text, o, 2));
  if (how == kAppend) o.on_existing = IngestOptions::OnExisting::kAppend;
  if (how == kReplace) o.on_existing = IngestOptions::OnExisting::kReplace;
  if (how == kManyChunks) o.checkpoint_seconds = 0;

  int n_refused = 0;
  for (int64_t cap = used(bench.store()) + kTooLittleRoom;; cap += 320 << 10) {
    CAPTURE(cap);
    REQUIRE(cap < 64 << 20);
    limit(bench.store(), cap, true);
    const auto done = bench.ingest_file(name, text, o);
    if (done.ok()) {
      CHECK(used(bench.store()) <= cap);
      const auto& gone = done.value().evicted;
      REQUIRE(!gone.empty());
      REQUIRE(gone.size() <= others.size());
      for (size_t i = 0; i < gone.size(); ++i) CHECK(gone[i].context == others[i]);
      for (size_t i = 0; i < others.size(); ++i) CHECK(bench.store().find(others[i]).ok() == (i >= gone.size()));
      break;
    }
    ++n_refused;
    INFO(done.status().message);
    REQUIRE(done.status().code == Code::kNoSpace);
    REQUIRE(done.status().message.find("so none was removed") != std::string::npos);
    for (const std::string& other : others) REQUIRE(bench.store().find(other).ok());
    if (name == "d") REQUIRE(bench.store().find("d").ok());
  }
  CHECK(n_refused > 2);
}

TEST_CASE("a stream may fit or not, and says which contexts it has cost", "[runtime]") {
  IngestBench bench;
  for (const char* name : {"a", "b", "c"})
    REQUIRE(bench.ingest(name, {made_text(11, 900)}, IngestBench::options("h2o")).ok());
  limit(bench.store(), used(bench.store()) + kRoom, true);
  const auto stopped = bench.ingest("new", {made_text(12, 60'000)}, IngestBench::options("h2o"));
  INFO(stopped.status().message);
  REQUIRE(stopped.status().code == Code::kNoSpace);
  CHECK(stopped.status().message.find("removed before to make room: 'a'") != std::string::npos);
  CHECK(stopped.status().message.find("tokens are saved") != std::string::npos);
}

TEST_CASE("a call that waits for another one on its engine can be cancelled", "[runtime]") {
  IngestBench bench;
  std::promise<void> running, over;
  auto first = std::async(std::launch::async, [&] {
    GenerateOptions o;
    o.sampling.max_new_tokens = 2;
    bool is_first = true;
    const auto wait = [&](const std::string&) {
      if (std::exchange(is_first, false)) {
        running.set_value();
        over.get_future().wait();
      }
      return true;
    };
    return generate(bench.engine(), "the", o, {wait, {}});
  });
  running.get_future().wait();
  CancelToken cancel;
  auto second = std::async(std::launch::async, [&] { return generate(bench.engine(), "the", {}, {}, &cancel); });
  // This call waits for the first, which ends only when it is told to. If it did not wait, this loop would never end.
  while (bench.engine().impl().turns.n_waiting() == 0) std::this_thread::yield();
  cancel.cancel();
  const Status stopped = second.get().status();
  CHECK(stopped.code == Code::kCancelled);
  CHECK(stopped.message == "stopped while another call was using the engine");
  over.set_value();
  CHECK(first.get().ok());
  CHECK(generate(bench.engine(), "the", {}).ok());
}

TEST_CASE("how an answer ended is said: by the model, the limit or the caller", "[runtime]") {
  IngestBench bench;
  GenerateOptions o;
  o.sampling.max_new_tokens = 5;
  const auto limited = generate(bench.engine(), "the river", o);
  REQUIRE(limited.ok());
  CHECK(limited.value().finish_reason == "length");
  std::string seen;
  const auto see_one = [&](const std::string& piece) {
    seen += piece;
    return false;
  };
  const auto stopped = generate(bench.engine(), "the river", o, {see_one, {}});
  REQUIRE(stopped.ok());
  CHECK(stopped.value().finish_reason == "cancelled");
  CHECK(stopped.value().text == seen);
  o.sampling.max_new_tokens = 0;
  const auto prompt_only = generate(bench.engine(), "the river", o);
  REQUIRE(prompt_only.ok());
  CHECK(prompt_only.value().text.empty());
  CHECK(prompt_only.value().finish_reason == "length");
  CHECK(prompt_only.value().empty_because == "length");
  CHECK(prompt_only.value().timings.prompt_n > 0);
  CHECK(prompt_only.value().timings.predicted_n == 0);
  CHECK(prompt_only.value().timings.prompt_ms > prompt_only.value().timings.predicted_ms);
}
