// The cap on the store: no writer passes it; who is evicted and who stays; and what is left when a writer stops.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "storage/disk/files.h"
#include "storage/disk/ledger.h"
#include "storage/limits/use_record.h"
#include "tests/storage/support/archive_memory.h"
#include "tests/storage/support/child_process.h"
#include "tests/storage/support/store_fixture.h"
#include "tests/storage/support/watched_disk.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr int32_t kRowBytes = 4 * 64 + 4 * 4;
constexpr int64_t kChunk = 1500, kCheckpoint = 700'000;

// A store on a disk that measures its size.
struct Watched {
  TempDir dir;
  MemoryAccount account;
  std::shared_ptr<WatchedFileSystem> files = std::make_shared<WatchedFileSystem>(dir.path("store"));
  std::unique_ptr<ContextStore> store = open();

  std::unique_ptr<ContextStore> open() {
    return must(ContextStore::open(dir.path("store"), account, std::make_shared<Disk>(files)));
  }
  void limit(int64_t bytes, bool evict) { must(store->set_limit({bytes, evict})); }
  int64_t used() const { return disk_use(dir.path("store")).most(); }
  std::vector<std::string> names() {
    std::vector<std::string> found;
    for (const ContextEntry& entry : must(store->list())) found.push_back(entry.meta.name);
    return found;
  }
};

// Writes up to n_chunks more, each followed by a checkpoint, as an ingest does. Returns the Status that stopped it.
// `saved` is what a restart need not do again.
Status write_chunks(ContextWriter& writer, uint64_t seed, int64_t n_chunks, int64_t& saved) {
  for (int64_t i = 0; i < n_chunks; ++i) {
    TRY(writer.claim_room({kChunk * (kRowBytes + 16), kCheckpoint}));
    const int64_t begin = writer.meta().n_tokens;
    TRY(writer.commit_chunk(Chunk(seed, begin, kChunk, kRowBytes).write()));
    TRY(save(writer, begin + kChunk, seed, {kCheckpoint}));
    saved = begin + kChunk;
  }
  return writer.finish("[]", "{}");
}

Status make(ContextStore& store, const std::string& name, uint64_t seed, int64_t n_chunks) {
  TRY_ASSIGN(auto writer, store.create(name, kRowBytes, "{}"));
  int64_t saved = 0;
  return write_chunks(*writer, seed, n_chunks, saved);
}

void check_whole(ContextStore& store, const std::string& name, uint64_t seed) {
  const auto reader = must(store.open_reader(name));
  must(compare_tokens(*reader, seed));
  must(compare_embeddings(*reader, seed));
}
// As if the clock had shown this when the context was made and last asked. `numbered`: false for one that only programs
// without use numbers wrote.
void set_times(Watched& w, const std::string& name, int64_t unix_s, bool numbered) {
  const std::string dir = w.dir.path("store/contexts/" + must(w.store->find(name)).meta.id);
  const Disk& disk = w.store->disk();
  UseRecord use = read_use_record(disk, dir);
  use.last_asked_unix_ms = unix_s * 1000;
  if (!numbered) {
    use.use_number = 0;
    Ledger ledger = must(read_ledger(disk, dir));
    ledger.use_number = 0;
    must(write_ledger(disk, dir, ledger));
  }
  must(write_use_record(disk, dir, use));
  const timespec times[2] = {{unix_s, 0}, {unix_s, 0}};
  REQUIRE(::utimensat(AT_FDCWD, (dir + "/context.json").c_str(), times, 0) == 0);
}

// Lets a writer have hardly more than what is used, so that one context after the other has to go.
std::vector<std::string> eviction_order(Watched& w) {
  std::vector<std::string> order;
  must(w.store->create("written", kRowBytes, "{}"));
  for (;;) {
    w.limit(w.used() + 2 * kMiB, true);
    if (!w.store->open_writer("written").ok()) break;
    for (const EvictedContext& gone : w.store->take_evicted()) order.push_back(gone.name);
  }
  return order;
}

}  // namespace

TEST_CASE("cap: the order of uses decides who goes, whatever the clock said", "[storage]") {
  Watched w;
  constexpr int64_t kPast = 1'000'000'000, kFuture = 4'000'000'000;
  for (const char* name : {"ahead", "behind", "made last", "old", "older"}) must(make(*w.store, name, 1, 1));
  w.store->note_asked("ahead");
  w.store->note_asked("behind");
  must(w.store->remove("made last"));  // the number of its making is not the largest
  must(make(*w.store, "made last", 1, 1));
  set_times(w, "ahead", kFuture, true);
  set_times(w, "behind", kPast, true);
  set_times(w, "made last", kPast - 1, true);
  set_times(w, "old", kFuture + 2, false);
  set_times(w, "older", kFuture + 1, false);
  CHECK(eviction_order(w) == std::vector<std::string>{"older", "old", "ahead", "behind", "made last"});
}

TEST_CASE("cap: with evictions it is never passed, and the least recently asked go first", "[storage]") {
  Watched w;
  constexpr int64_t kCap = 16 * kMiB;
  w.limit(kCap, true);
  for (const auto& [name, seed] : std::map<std::string, uint64_t>{{"a", 1}, {"b", 2}, {"c", 3}}) {
    must(make(*w.store, name, seed, 5));
  }
  w.store->note_asked("a");
  must(w.store->set_pinned("b", true));
  CHECK(must(w.store->find("a")).last_asked_unix_s > 0);
  CHECK(must(w.store->find("b")).pinned);
  CHECK(w.store->take_evicted().empty());

  must(make(*w.store, "d", 4, 6));
  auto gone = w.store->take_evicted();
  REQUIRE(gone.size() == 1);
  CHECK(gone[0].name == "c");
  CHECK(gone[0].bytes > 5 * kChunk * kRowBytes);
  must(make(*w.store, "e", 5, 6));
  gone = w.store->take_evicted();
  REQUIRE(gone.size() == 1);
  CHECK(gone[0].name == "a");
  CHECK(w.names() == std::vector<std::string>{"b", "d", "e"});
  for (uint64_t i = 6; i < 12; ++i) must(make(*w.store, "x" + std::to_string(i), i, 4));
  check_whole(*w.store, "b", 2);
  check_whole(*w.store, "x11", 11);
  CHECK(w.files->most_bytes() <= kCap);
  CHECK(w.files->most_bytes() > kCap / 2);  // it did measure
  CHECK(w.used() == w.store->used_bytes());
}

TEST_CASE("cap: an ingest that stops at it keeps what is saved, says who could go, and goes on with room",
          "[storage]") {
  Watched w;
  constexpr int64_t kCap = 14 * kMiB;
  w.limit(kCap, false);
  must(make(*w.store, "old", 1, 4));
  must(make(*w.store, "new", 2, 4));
  int64_t saved = 0;
  auto writer = must(w.store->create("long", kRowBytes, "{}"));
  const Status full = write_chunks(*writer, 3, 1000, saved);
  INFO(full.message);
  CHECK(full.code == Code::kNoSpace);
  CHECK(full.message.find("\"old\"") < full.message.find("\"new\""));
  CHECK(full.message.find("--when-full evict") != std::string::npos);
  CHECK(saved >= 2 * kChunk);
  CHECK(w.files->most_bytes() <= kCap);
  CHECK(w.names() == std::vector<std::string>{"long", "new", "old"});
  // The writer was stopped, not broken: with room it goes on.
  must(w.store->remove("old"));
  must(w.store->remove("new"));
  must(write_chunks(*writer, 3, 3, saved));
  writer.reset();
  check_whole(*w.store, "long", 3);
  CHECK(w.files->most_bytes() <= kCap);
}

TEST_CASE("cap: who is pinned, read, unfinished, written or replaced does not go", "[storage]") {
  Watched w;
  constexpr int64_t kCap = 24 * kMiB;
  for (const std::string name : {"pinned", "read", "replaced"}) must(make(*w.store, name, 1, 4));
  must(w.store->set_pinned("pinned", true));
  const auto reader = must(w.store->open_reader("read"));
  {
    auto unfinished = must(w.store->create("unfinished", kRowBytes, "{}"));
    must(unfinished->commit_chunk(Chunk(2, 0, kChunk, kRowBytes).write()));
  }
  auto replacement = must(w.store->create("replaced", kRowBytes, "{}", Which::kReplacement));
  w.limit(kCap, true);
  int64_t saved = 0;
  Status full = write_chunks(*replacement, 3, 1000, saved);
  INFO(full.message);
  CHECK(full.code == Code::kNoSpace);
  CHECK(full.message.find("No context may go") != std::string::npos);
  CHECK(w.store->take_evicted().empty());
  CHECK(must(w.store->list()).size() == 5);
  CHECK(w.files->most_bytes() <= kCap);
  // Nothing is evicted either if all that may be evicted is not enough.
  must(w.store->set_pinned("pinned", false));
  full = replacement->claim_room({20 * kMiB, 0});
  INFO(full.message);
  CHECK(full.code == Code::kNoSpace);
  CHECK(full.message.find("hold only") != std::string::npos);
  CHECK(must(w.store->list()).size() == 5);
  must(write_chunks(*replacement, 3, 2, saved));
  CHECK(w.store->take_evicted().size() == 1);
  CHECK(w.store->find("pinned").status().code == Code::kNotFound);
}

TEST_CASE("cap: nobody goes for what is too much in the end, and for what fits no more go than must", "[storage]") {
  Watched w;
  for (const char* name : {"a", "b", "c"}) must(make(*w.store, name, 1, 2));
  w.limit(w.used() + 3 * kMiB, true);
  const auto check_spared = [&](const Status& full) {
    INFO(full.message);
    CHECK(full.code == Code::kNoSpace);
    CHECK(full.message.find("so none was removed") != std::string::npos);
    CHECK(w.store->take_evicted().empty());
    CHECK(w.names() == std::vector<std::string>{"a", "b", "c"});
  };
  const int64_t all = w.used() + 3 * kMiB;
  // At once, and later.
  check_spared(w.store->create("new", kRowBytes, "{}", Which::kCurrent, {}, {.checkpoint_bytes = all}).status());
  const Growth much_later{.checkpoint_bytes = 3 * kMiB / 2, .later_bytes = all};
  check_spared(w.store->create("new", kRowBytes, "{}", Which::kCurrent, {}, much_later).status());
  check_spared(w.store->open_writer("c", Which::kCurrent, much_later).status());

  Growth fits = much_later;
  fits.later_bytes = 2 * kMiB;
  auto writer = must(w.store->create("new", kRowBytes, "{}", Which::kCurrent, {}, fits));
  auto gone = w.store->take_evicted();
  REQUIRE(gone.size() == 1);  // what comes later has taken nobody yet
  CHECK(gone[0].name == "a");
  CHECK(writer->claim_room({.checkpoint_bytes = all}).code == Code::kNoSpace);
  CHECK(writer->claim_room({.checkpoint_bytes = 3 * kMiB, .may_evict = false}).code == Code::kNoSpace);
  CHECK(w.store->take_evicted().empty());
}

TEST_CASE("cap: an import never costs a context, also where the store is over its cap", "[storage]") {
  Watched w;
  for (const char* name : {"a", "b"}) must(make(*w.store, name, 1, 2));
  std::string archive;
  must(w.store->export_context("a", {}, append_to(archive), {}));
  for (const int64_t cap : {w.used() / 2, w.used() + kMiB, w.used() + 5 * kMiB / 2}) {
    w.limit(cap, true);
    const auto rename = [](ContextMeta& meta) -> Status {
      meta.name = "new";
      return {};
    };
    CHECK(w.store->import_context(source_of(archive), rename, {}).status().code == Code::kNoSpace);
    CHECK(w.store->take_evicted().empty());
    CHECK(w.names() == std::vector<std::string>{"a", "b"});
  }
}

TEST_CASE("cap: a store that is over it already makes room, or nothing is written", "[storage]") {
  Watched w;
  for (uint64_t i = 0; i < 4; ++i) must(make(*w.store, "c" + std::to_string(i), i, 4));
  w.store->note_asked("c0");
  w.limit(0, false);
  const int64_t used = w.store->used_bytes();
  w.limit(used * 3 / 4, false);
  CHECK(w.store->check_limit("c1").code == Code::kNoSpace);
  CHECK(w.store->create("more", kRowBytes, "{}").status().code == Code::kNoSpace);
  CHECK(w.store->open_writer("c1").status().code == Code::kNoSpace);
  CHECK(w.used() <= used);
  CHECK(w.names().size() == 4);
  w.limit(kMiB, true);
  CHECK(w.store->check_limit("c1").code == Code::kNoSpace);
  w.limit(used - 1, true);
  must(w.store->check_limit("c1"));
  CHECK(w.names().size() == 4);  // whether there can be room is known, and nothing is written yet
  must(w.store->open_writer("c1"));
  const auto left = w.names();
  CHECK(w.used() < used);
  CHECK(left.size() < 4);
  CHECK(std::count(left.begin(), left.end(), "c0") == 1);  // asked most recently
  CHECK(std::count(left.begin(), left.end(), "c1") == 1);  // about to be written
  w.limit(0, false);
  must(make(*w.store, "more", 9, 2));
}

TEST_CASE("cap: writers at once, in stores of their own, keep it together", "[storage]") {
  Watched w;
  constexpr int64_t kCap = 20 * kMiB;
  w.limit(kCap, false);
  constexpr int kWriters = 3;
  std::vector<std::unique_ptr<ContextStore>> stores;
  for (int i = 0; i < kWriters; ++i) stores.push_back(w.open());
  Status stopped[kWriters];
  int64_t saved[kWriters] = {};
  {
    std::vector<std::thread> threads;
    for (int i = 0; i < kWriters; ++i) {
      threads.emplace_back([&, i] {
        auto writer = stores[size_t(i)]->create("w" + std::to_string(i), kRowBytes, "{}");
        if (!writer.ok()) {
          stopped[i] = writer.status();
          return;
        }
        stopped[i] = write_chunks(*writer.value(), uint64_t(i), 1000, saved[i]);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  CHECK(w.files->most_bytes() <= kCap);
  // How far they came together is chance: each claims room for more than it then writes. What they had claimed is free
  // again, so one that writes alone fills the store.
  int64_t alone = 0;
  auto writer = w.store->create("alone", kRowBytes, "{}");
  const Status full = writer.ok() ? write_chunks(*writer.value(), kWriters, 1000, alone) : writer.status();
  INFO(full.message);
  CHECK(full.code == Code::kNoSpace);
  CHECK(w.files->most_bytes() <= kCap);
  CHECK(w.files->most_bytes() > kCap / 2);
  for (int i = 0; i < kWriters; ++i) {
    INFO(stopped[i].message);
    CHECK(stopped[i].code == Code::kNoSpace);
    if (saved[i] == 0) continue;
    const auto reader = must(w.store->open_reader("w" + std::to_string(i)));
    CHECK(reader->meta().n_tokens >= saved[i]);
    must(compare_tokens(*reader, uint64_t(i)));
  }
}

TEST_CASE("child claims most of a store", "[.child]") {
  MemoryAccount account;
  auto store = must(ContextStore::open(child_setting("STORE"), account));
  if (child_setting("MODE") == "unlimited") must(store->set_limit({}));
  auto writer = must(store->create("held", kRowBytes, "{}"));
  const Status room = writer->claim_room({5 * kMiB, 0});
  report_to_parent(room.ok() ? "claimed" : room.message);
  ::pause();
}

TEST_CASE("cap: what another process has claimed is not given out, and dies with it", "[storage]") {
  Watched w;
  w.limit(20 * kMiB, false);
  ChildProcess child("child claims most of a store", {{"STORE", w.dir.path("store")}, {"MODE", "limited"}});
  REQUIRE(child.read_line() == "claimed");
  auto writer = must(w.store->create("mine", kRowBytes, "{}"));
  CHECK(writer->claim_room({4 * kMiB, 0}).code == Code::kNoSpace);
  must(writer->claim_room({kMiB, 0}));
  child.kill_and_wait();
  must(writer->claim_room({4 * kMiB, 0}));
}

TEST_CASE("cap: it waits for a writer that began without one", "[storage]") {
  Watched w;
  ChildProcess child("child claims most of a store", {{"STORE", w.dir.path("store")}, {"MODE", "unlimited"}});
  REQUIRE(child.read_line() == "claimed");
  w.limit(20 * kMiB, false);
  CHECK(w.store->create("mine", kRowBytes, "{}").status().code == Code::kBusy);
  child.kill_and_wait();
  CHECK(w.store->create("mine", kRowBytes, "{}").ok());
}

TEST_CASE("cap: a writer that claims too little is refused at the cap, not let past it", "[storage]") {
  Watched w;
  constexpr int64_t kCap = 10 * kMiB;
  w.limit(kCap, false);
  auto writer = must(w.store->create("x", kRowBytes, "{}"));
  Status status;
  for (int64_t begin = 0; status.ok(); begin += kChunk)  // no claim_room(), no checkpoints
    status = writer->commit_chunk(Chunk(1, begin, kChunk, kRowBytes).write());
  CHECK(status.code == Code::kNoSpace);
  CHECK(w.files->most_bytes() <= kCap);
}

TEST_CASE("cap: damaged limits are said, and set anew, who has a damaged use record counts as pinned", "[storage]") {
  Watched w;
  must(make(*w.store, "a", 1, 1));
  must(w.store->set_pinned("a", true));
  w.limit(30 * kMiB, true);
  std::ofstream(w.dir.path("store/limits.json"), std::ios::trunc) << "{";
  CHECK(w.store->limit().status().code == Code::kCorrupt);
  CHECK(w.store->create("b", kRowBytes, "{}").status().code == Code::kCorrupt);
  check_whole(*w.store, "a", 1);
  w.limit(30 * kMiB, true);
  must(make(*w.store, "b", 2, 1));
  const std::string id = must(w.store->find("a")).meta.id;
  std::ofstream(w.dir.path("store/contexts/" + id + "/use.json"), std::ios::trunc) << "\0\1";
  const ContextEntry entry = must(w.store->find("a"));
  must(entry.state);
  CHECK(entry.pinned);
  w.store->note_asked("a");  // must not make it worse
  CHECK(must(w.store->find("a")).pinned);
  check_whole(*w.store, "a", 1);
  must(w.store->set_pinned("a", false));
  CHECK_FALSE(must(w.store->find("a")).pinned);
}

TEST_CASE("asking changes nothing that a list would have to read again", "[storage]") {
  Watched w;
  must(make(*w.store, "a", 1, 1));
  const std::string id = must(w.store->find("a")).meta.id;
  const uint64_t stamp = must(measure_directory(w.dir.path("store/contexts/" + id))).stamp;
  w.store->note_asked("a");
  CHECK(must(measure_directory(w.dir.path("store/contexts/" + id))).stamp == stamp);
}
