// Several processes on one store: who excludes whom, and what is left when one dies.
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "storage/disk/file_lock.h"
#include "tests/storage/support/child_process.h"
#include "tests/storage/support/store_fixture.h"

using namespace reform;
using namespace reform::test;
using std::chrono::milliseconds;

namespace {

constexpr uint64_t kSeed = 31;
constexpr int64_t kChunk = 700, kTotal = 9100;
constexpr int32_t kRowBytes = 64;
const std::vector<int64_t> kParts = {200'000, 5};

void make_finished(ContextStore& store, const std::string& name) {
  auto writer = must(store.create(name, 5, ""));
  must(writer->commit_chunk(Chunk(kSeed, 0, 50, 5).write()));
  must(writer->finish("[]", "{}"));
}

bool mentions(const Status& status, const std::string& text) { return status.message.find(text) != std::string::npos; }

}  // namespace

TEST_CASE("child holds a context", "[.child]") {
  MemoryAccount account;
  auto store = must(ContextStore::open(child_setting("STORE"), account));
  std::unique_ptr<ContextData> held;
  if (child_setting("MODE") == "write") {
    held = must(store->open_writer("x"));
  } else {
    held = must(store->open_reader("x"));
  }
  report_to_parent("held");
  ::pause();
}

TEST_CASE("a writer in another process excludes all, is named, and frees its lock by dying", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  make_finished(*store, "x");
  make_finished(*store, "y");
  ChildProcess child("child holds a context", {{"STORE", dir.path()}, {"MODE", "write"}});
  REQUIRE(child.read_line() == "held");
  const std::string who = "written by process " + std::to_string(child.pid());
  for (const Status& refused :
       {store->open_writer("x").status(), store->open_reader("x").status(), store->remove("x")}) {
    CHECK(refused.code == Code::kBusy);
    CHECK(mentions(refused, who));
    CHECK(mentions(refused, "\"x\""));
  }
  must(store->open_reader("y"));
  const auto entries = must(store->list());
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].meta.name == "x");
  CHECK(entries[0].busy);
  CHECK(entries[0].meta.n_tokens == 50);
  CHECK_FALSE(entries[1].busy);
  child.kill_and_wait();
  must(store->open_writer("x"));
}

TEST_CASE("readers share a context, and a writer or rm waits for them in vain", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  make_finished(*store, "x");
  ChildProcess first("child holds a context", {{"STORE", dir.path()}, {"MODE", "read"}});
  ChildProcess second("child holds a context", {{"STORE", dir.path()}, {"MODE", "read"}});
  REQUIRE(first.read_line() == "held");
  REQUIRE(second.read_line() == "held");
  {
    auto reader = must(store->open_reader("x"));
    must(compare_tokens(*reader, kSeed));
  }
  CHECK_FALSE(must(store->find("x")).busy);
  first.kill_and_wait();
  const Status writer = store->open_writer("x").status(), removed = store->remove("x");
  CHECK(writer.code == Code::kBusy);
  CHECK(mentions(writer, "being read by another process"));
  CHECK(removed.code == Code::kBusy);
  second.kill_and_wait();
  must(store->remove("x"));
  CHECK(store->open_reader("x").status().code == Code::kNotFound);
}

TEST_CASE("within one process, too, a writer excludes readers and a reader excludes rm", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account)), again = must(ContextStore::open(dir.path(), account));
  auto writer = must(store->create("x", 5, ""));
  CHECK(again->open_reader("x").status().code == Code::kBusy);
  CHECK(again->open_writer("x").status().code == Code::kBusy);
  writer.reset();
  auto reader = must(again->open_reader("x"));
  must(again->open_reader("x"));
  CHECK(store->remove("x").code == Code::kBusy);
  reader.reset();
  must(store->remove("x"));
}

TEST_CASE("child creates a context", "[.child]") {
  MemoryAccount account;
  auto store = must(ContextStore::open(child_setting("STORE"), account));
  const auto made = store->create("x", 5, "");
  report_to_parent(std::to_string(int(made.status().code)));
  ::pause();  // while it still holds the lock
}

TEST_CASE("of processes that create the same name at once exactly one wins", "[storage]") {
  TempDir dir;
  std::vector<std::unique_ptr<ChildProcess>> children;
  children.reserve(6);
  for (int i = 0; i < 6; ++i) {
    children.push_back(std::make_unique<ChildProcess>("child creates a context",
                                                      std::map<std::string, std::string>{{"STORE", dir.path("s")}}));
  }
  int n_made = 0, n_refused = 0;
  std::string codes;
  for (const auto& child : children) {
    const auto code = child->read_line();
    codes += " " + code.value_or("none");
    n_made += code == std::to_string(int(Code::kOk));
    n_refused += code == std::to_string(int(Code::kBusy));
  }
  INFO("codes:" << codes);
  CHECK(n_made == 1);
  CHECK(n_refused == 5);
  MemoryAccount account;
  CHECK(must(must(ContextStore::open(dir.path("s"), account))->list()).size() == 1);
}

// Goes on from the last checkpoint, as an ingest does, and reports what it has saved.
TEST_CASE("child writes a context", "[.child]") {
  MemoryAccount account;
  auto store = must(ContextStore::open(child_setting("STORE"), account));
  auto made = store->create("x", kRowBytes, "s");
  auto writer = made.status().code == Code::kExists ? must(store->open_writer("x")) : must(std::move(made));
  const auto checkpoints = must(writer->checkpoints());
  const int64_t from = checkpoints.empty() ? 0 : checkpoints.back();
  must(writer->truncate(from, "[]", std::to_string(from)));
  for (int64_t begin = from; begin < kTotal; begin += kChunk) {
    const int64_t end = begin + kChunk;
    must(writer->commit_chunk(Chunk(kSeed, begin, kChunk, kRowBytes, std::to_string(end)).write()));
    if (end / kChunk % 2 == 0) {
      must(save(*writer, end, uint64_t(end), kParts));
      report_to_parent(std::to_string(end));
    }
  }
  must(writer->finish("[]", "done"));
  report_to_parent("done");
}

TEST_CASE("a writer killed at any instant loses nothing it has reported as saved", "[storage]") {
  std::mt19937_64 random(2024);
  TempDir dir;
  MemoryAccount account;
  int n_kills = 0, n_finished = 0;
  while (n_kills < 30) {
    ChildProcess child("child writes a context", {{"STORE", dir.path()}});
    // From before the store exists to after the end, and often in the middle of a write.
    const auto wait_us = random() % 4 == 0 ? random() % 20000 : random() % 200000;
    std::this_thread::sleep_for(std::chrono::microseconds(wait_us));
    child.kill_and_wait();
    ++n_kills;
    int64_t saved = 0;
    bool done = false;
    while (const auto line = child.read_line()) {
      done = done || line == "done";
      saved = done ? kTotal : std::stoll(*line);
    }
    INFO("kill " << n_kills << " after " << saved << " saved tokens");
    auto store = must(ContextStore::open(dir.path(), account));
    const auto entries = must(store->list());
    if (entries.empty()) {
      CHECK(saved == 0);
      continue;
    }
    must(entries[0].state);
    auto reader = must(store->open_reader("x"));
    const ContextMeta& meta = reader->meta();
    CHECK(meta.n_tokens >= saved);
    CHECK(meta.n_tokens % kChunk == 0);
    CHECK(meta.progress == (meta.complete        ? "done"
                            : meta.n_tokens == 0 ? meta.progress
                                                 : std::to_string(meta.n_tokens)));
    CHECK((meta.complete || !done));
    must(compare_tokens(*reader, kSeed));
    must(compare_embeddings(*reader, kSeed));
    const auto checkpoints = must(reader->checkpoints());
    if (saved > 0 && !done) CHECK((!checkpoints.empty() && checkpoints.back() >= saved));
    for (const int64_t at : checkpoints) must(compare_checkpoint(*reader, at, uint64_t(at), kParts));
    const bool complete = meta.complete;
    reader.reset();
    if (complete) {
      ++n_finished;
      must(store->remove("x"));
    }
    CHECK(std::filesystem::is_empty(dir.path("trash")));
  }
  WARN(n_kills << " kills, " << n_finished << " of them after the end, nothing lost");
}

TEST_CASE("what a dead process left half made or half removed is swept by the next", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  const std::string id(32, 'a'), other(32, 'b'), held(32, 'c');
  { must(ContextStore::open(dir.path(), account)); }
  for (const std::string& left : {id, held}) std::filesystem::create_directories(dir.path("trash/" + left + "/sub"));
  for (const std::string& lock : {id, other}) std::ofstream(dir.path("locks/" + lock));
  const auto lock = must(FileLock::acquire(dir.path("locks/" + held), FileLock::Mode::kExclusive));
  auto store = must(ContextStore::open(dir.path(), account));
  CHECK_FALSE(std::filesystem::exists(dir.path("trash/" + id)));
  CHECK_FALSE(std::filesystem::exists(dir.path("locks/" + id)));
  CHECK_FALSE(std::filesystem::exists(dir.path("locks/" + other)));
  CHECK(std::filesystem::exists(dir.path("trash/" + held)));
  CHECK(must(store->list()).empty());
}
