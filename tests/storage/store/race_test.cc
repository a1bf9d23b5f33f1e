// Readers and listers beside a writer that replaces and removes: what they find is whole, or plainly does not exist.
#include <poll.h>
#include <sys/inotify.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "storage/disk/file_lock.h"
#include "tests/storage/support/store_fixture.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr int64_t kTokens = 60;
constexpr int32_t kRowBytes = 5;

void write_text(ContextStore& store, uint64_t seed, Which which) {
  auto writer = must(store.create("book", kRowBytes, std::to_string(seed), which));
  must(writer->commit_chunk(Chunk(seed, 0, kTokens, kRowBytes).write()));
  must(writer->finish("[]", "{}"));
}

// What it found, or the Status of a clean refusal. Anything else fails the test.
Status look(ContextStore& store) {
  TRY_ASSIGN(const ContextEntry found, store.find("book"));
  TRY(found.state);
  TRY_ASSIGN(const auto entries, store.list());
  for (const ContextEntry& entry : entries) TRY(entry.state);
  TRY_ASSIGN(const auto reader, store.open_reader("book"));
  if (reader->meta().n_tokens != kTokens) return {Code::kBusy, "not finished"};
  const uint64_t seed = std::strtoull(reader->meta().settings.c_str(), nullptr, 10);
  TRY_ASSIGN(const Tokens tokens, reader->read_tokens(0, kTokens));
  for (int64_t t = 0; t < kTokens; ++t) {
    if (tokens.ids[size_t(t)] != token_id(seed, t)) return {Code::kInternal, "another text's tokens"};
  }
  return {};
}

// Notices when a file is opened.
class OpenWatch {
 public:
  explicit OpenWatch(const std::string& path) : fd_(inotify_init1(IN_CLOEXEC)) {
    REQUIRE(inotify_add_watch(fd_.get(), path.c_str(), IN_OPEN) >= 0);
  }
  // Waits until the file has been opened since the last call. The time limit only keeps a broken test from hanging.
  bool wait_for_open() {
    pollfd ready = {fd_.get(), POLLIN, 0};
    alignas(inotify_event) char events[4096];
    return ::poll(&ready, 1, 60'000) == 1 && ::read(fd_.get(), events, sizeof events) > 0;
  }

 private:
  FileDescriptor fd_;
};

}  // namespace

TEST_CASE("beside one who replaces, a reader always finds the context", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  write_text(*store, 1, Which::kCurrent);
  std::atomic<bool> done = false;
  std::atomic<int> n_found = 0;
  Status wrong;
  std::thread reader([&] {
    MemoryAccount own;
    const auto mine = ContextStore::open(dir.path(), own);
    while (!done && wrong.ok()) {
      wrong = mine.ok() ? look(*mine.value()) : mine.status();
      ++n_found;
    }
  });
  for (uint64_t seed = 2; seed < 30; ++seed) {
    write_text(*store, seed, Which::kReplacement);
    (void)store->remove_replaced();  // busy while somebody reads: then the next round removes it
  }
  while (n_found == 0) std::this_thread::yield();
  done = true;
  reader.join();
  must(wrong);
}

TEST_CASE("a context that is replaced and removed while a reader waits for its lock is looked up again", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  write_text(*store, 1, Which::kCurrent);
  const std::string id = must(store->find("book")).meta.id;
  // As in a removal: the lock is held until the last of the context is gone.
  const FileLock removing = must(FileLock::acquire(dir.path("locks/" + id), FileLock::Mode::kExclusive));
  Status found;
  std::promise<void> opened;
  std::thread reader([&] {
    MemoryAccount own;
    const auto mine = ContextStore::open(dir.path(), own);
    opened.set_value();
    found = mine.ok() ? mine.value()->open_reader("book").status() : mine.status();
  });
  opened.get_future().wait();
  // A waiting reader opens the lock's file again and again. The second time shows that it was refused once.
  OpenWatch lock_file(dir.path("locks/" + id));
  CHECK(lock_file.wait_for_open());
  CHECK(lock_file.wait_for_open());
  write_text(*store, 2, Which::kReplacement);
  std::filesystem::rename(dir.path("contexts/" + id), dir.path("trash/" + id));
  reader.join();
  must(found);
}

TEST_CASE("beside one who makes and removes, nothing half made or half gone is seen", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  std::atomic<bool> done = false;
  Status wrong;
  std::thread reader([&] {
    MemoryAccount own;
    const auto mine = ContextStore::open(dir.path(), own);
    wrong = mine.status();
    while (!done && wrong.ok()) {
      wrong = look(*mine.value());
      if (wrong.code == Code::kBusy || wrong.code == Code::kNotFound) wrong = {};
    }
  });
  for (uint64_t seed = 2; seed < 30; ++seed) {
    write_text(*store, seed, Which::kCurrent);
    Status removed;
    do removed = store->remove("book");
    while (removed.code == Code::kBusy);
    must(removed);
  }
  done = true;
  reader.join();
  must(wrong);
}

TEST_CASE("hostile JSON in any of our files is damage like any other", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  write_text(*store, 1, Which::kCurrent);
  const std::string id = must(store->find("book")).meta.id;
  const std::string deep(300'000, '['), keys = "{\"format\":1,\"checksum\":\"0\",\"body\":";
  std::string nested = keys;
  for (int i = 0; i < 100'000; ++i) nested += "{\"a\":";
  for (const std::string& text :
       {deep, nested, nested + "0" + std::string(100'001, '}'), keys + deep + std::string(300'000, ']') + "}"}) {
    std::ofstream(dir.path("catalogue.json"), std::ios::trunc) << text;
    std::ofstream(dir.path("store.json"), std::ios::trunc) << text;
    store = must(ContextStore::open(dir.path(), account));
    must(store->open_reader("book"));
  }
  std::ofstream(dir.path("contexts/" + id + "/context.json"), std::ios::trunc)
      << nested + "0" + std::string(100'001, '}');
  const auto entries = must(store->list());
  REQUIRE(entries.size() == 1);
  CHECK(entries[0].state.code == Code::kCorrupt);
  must(store->remove(id));
}
