// A full disk, at any write and at any sync: the writer stops cleanly, what was saved stays, and with room it goes on.
#include "tests/storage/support/fault_run.h"
#include "tests/storage/support/store_fixture.h"
#include "tests/storage/support/watched_disk.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr uint64_t kSeed = 23;
constexpr int32_t kRowBytes = 300;
constexpr int64_t kChunk = 400, kChunks = 5;
const std::vector<int64_t> kParts = {300'000, 7};

struct FullDisk {
  TempDir dir;
  MemoryAccount account;
  std::shared_ptr<SmallDisk> files = std::make_shared<SmallDisk>(dir.path());
  std::shared_ptr<const Disk> disk = hasty_disk(files, false);
  int64_t saved = 0;

  std::unique_ptr<ContextStore> open() { return must(ContextStore::open(dir.path("store"), account, disk)); }
  void give_room() { files->room_bytes = files->syncs_left = INT64_MAX; }

  Status run(ContextWriter& writer) {
    for (int64_t n = writer.meta().n_tokens; n < kChunks * kChunk; n += kChunk) {
      TRY(writer.claim_room({kChunk * (kRowBytes + 16), kParts[0]}));
      TRY(writer.commit_chunk(Chunk(kSeed, n, kChunk, kRowBytes).write()));
      TRY(save(writer, n + kChunk, uint64_t(n + kChunk), kParts));
      saved = n + kChunk;
    }
    return writer.finish("[]", "{}");
  }
  Status run_new(ContextStore& store) {
    TRY_ASSIGN(auto writer, store.create("x", kRowBytes, "{}"));
    return run(*writer);
  }
  // Goes on from the last checkpoint, as an ingest does.
  Status run_on(ContextStore& store) {
    TRY_ASSIGN(auto writer, store.open_writer("x"));
    TRY_ASSIGN(const auto checkpoints, writer->checkpoints());
    TRY(writer->truncate(checkpoints.empty() ? 0 : checkpoints.back(), "[]", "{}"));
    return run(*writer);
  }
  void check_saved(ContextStore& store) {
    const auto reader = must(store.open_reader("x"));
    REQUIRE(reader->meta().n_tokens >= saved);
    must(compare_tokens(*reader, kSeed));
    must(compare_embeddings(*reader, kSeed));
    const auto checkpoints = must(reader->checkpoints());
    REQUIRE((saved == 0 || (!checkpoints.empty() && checkpoints.back() >= saved)));
    if (!checkpoints.empty())
      must(compare_checkpoint(*reader, checkpoints.back(), uint64_t(checkpoints.back()), kParts));
  }
};

// One run that the disk stops somewhere. False if it did not stop.
bool run_stopped(FullDisk& disk) {
  Status stopped;
  {
    auto store = disk.open();
    stopped = disk.run_new(*store);
  }
  if (disk.files->n_refused == 0) {
    must(stopped);
    return false;
  }
  INFO(stopped.message);
  // Tidying up may fail without harm.
  REQUIRE((stopped.ok() || stopped.code == Code::kNoSpace));
  auto store = disk.open();
  const bool exists = store->find("x").status().code != Code::kNotFound;
  REQUIRE((exists || disk.saved == 0));
  if (exists) {
    disk.check_saved(*store);
    const Status again = disk.run_on(*store);  // still full: trying again loses nothing
    REQUIRE((again.ok() || again.code == Code::kNoSpace));
    store = disk.open();
    disk.check_saved(*store);
  }
  disk.give_room();
  must(exists ? disk.run_on(*store) : disk.run_new(*store));
  disk.check_saved(*store);
  REQUIRE(must(store->find("x")).meta.complete);
  return true;
}

}  // namespace

TEST_CASE("a disk that is full at any number of bytes loses nothing that was saved", "[storage]") {
  int64_t n_stopped = 0;
  for (int64_t room = 3'000;; room += 41'017) {
    FullDisk disk;
    CAPTURE(room);
    must(disk.open()->set_limit({}));  // so that the store exists
    disk.files->room_bytes = disk_use(disk.dir.path()).size_bytes + room;
    if (!run_stopped(disk)) break;
    ++n_stopped;
    REQUIRE(room < 30'000'000);
  }
  CHECK(n_stopped > 25);
}

TEST_CASE("a disk that is full at any sync loses nothing that was saved", "[storage]") {
  int64_t n_stopped = 0;
  for (int64_t n = 0;; ++n) {
    FullDisk disk;
    CAPTURE(n);
    must(disk.open()->set_limit({}));
    disk.files->syncs_left = n;
    if (!run_stopped(disk)) break;
    ++n_stopped;
    REQUIRE(n < 1000);
  }
  CHECK(n_stopped > 25);
}
