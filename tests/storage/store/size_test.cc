// What the store takes: bytes on disk, bytes of memory, and what happens when the disk is full.
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/storage/support/child_process.h"
#include "tests/storage/support/store_fixture.h"
#include "tests/support/skip.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr uint64_t kSeed = 3;
constexpr int32_t kRowBytes = 4 * 64 + 4 * 4;  // four heads of 64 INT8, each with an FP32 scale

ContextEntry entry_of(ContextStore& store, const std::string& name) {
  const ContextEntry entry = must(store.find(name));
  must(entry.state);
  return entry;
}

}  // namespace

TEST_CASE("a context of 64k tokens takes at most 4d + 48 bytes per token, checkpoint apart", "[storage]") {
  const int64_t chunk = GENERATE(4096, 64);
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  constexpr int64_t kTokens = 65536;
  {
    auto writer = must(store->create("x", kRowBytes, std::string(500, 's')));
    for (int64_t t = 0; t < kTokens; t += chunk) {
      must(writer->commit_chunk(Chunk(kSeed, t, chunk, kRowBytes).write()));
      if (t == kTokens / 2) must(save(*writer, t, 1, {3'000'000}));
    }
    must(save(*writer, kTokens, 1, {3'000'000}));
    must(writer->finish("[]", "{}"));
  }
  const ContextEntry entry = entry_of(*store, "x");
  CHECK(entry.checkpoint_bytes == 3'000'000);
  CHECK(entry.disk_bytes == file_bytes_below(dir.path("contexts")));
  const double per_token = double(entry.disk_bytes - entry.checkpoint_bytes) / double(kTokens);
  CAPTURE(per_token);
  CHECK(per_token <= 4 * 64 + 48);
  CHECK(per_token >= kRowBytes);
}

TEST_CASE("replaced checkpoints and dropped rows give their bytes back", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  constexpr int64_t kCheckpoint = 3'500'000, kChunk = 1024, kSlack = 400'000;
  auto writer = must(store->create("x", kRowBytes, ""));
  int64_t n = 0;
  for (int64_t round = 1; round <= 24; ++round) {
    must(writer->commit_chunk(Chunk(kSeed, n, kChunk, kRowBytes).write()));
    n += kChunk;
    const std::vector<int64_t> keep = round % 2 ? std::vector<int64_t>{n - kChunk} : std::vector<int64_t>{};
    must(save(*writer, n, uint64_t(round), {kCheckpoint, 1}, keep));
    const auto live = int64_t(must(writer->checkpoints()).size());
    CHECK(live <= 2);
    // Rows may be in the log and in a table at the same time.
    CHECK(file_bytes_below(dir.path("contexts")) <= 2 * n * (kRowBytes + 8) + live * kCheckpoint + kSlack);
    if (round % 8 != 0) continue;
    n -= 4 * kChunk;  // these rows are removed again
    must(writer->truncate(n, "[]", "{}"));
  }
  const std::vector<int64_t> older = {n - kChunk};
  must(save(*writer, older[0], 98, {kCheckpoint, 1}));
  must(save(*writer, n, 99, {kCheckpoint, 1}, older));
  must(writer->finish("[]", "{}", older));
  CHECK(must(writer->checkpoints()) == std::vector<int64_t>{n});
  writer.reset();
  const ContextEntry entry = entry_of(*store, "x");
  CHECK(entry.checkpoint_bytes == kCheckpoint + 1);
  CHECK(entry.disk_bytes - entry.checkpoint_bytes <= n * (kRowBytes + 8) + 150'000);
  auto reader = must(store->open_reader("x"));
  must(compare_tokens(*reader, kSeed));
  must(compare_embeddings(*reader, kSeed));
  must(compare_checkpoint(*reader, n, 99, {kCheckpoint, 1}));
}

TEST_CASE("a removed context leaves nothing on the disk", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  {
    auto writer = must(store->create("x", kRowBytes, ""));
    must(writer->commit_chunk(Chunk(kSeed, 0, 5000, kRowBytes).write()));
  }
  must(store->open_reader("x"));
  must(store->remove("x"));
  CHECK(file_bytes_below(dir.path()) < 2000);
  // Nobody holds an unlinked file of the store open, which would keep its bytes on the disk.
  for (const auto& open : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(open.path(), gone).string();
    CHECK_FALSE((target.starts_with(dir.path()) && target.ends_with("(deleted)")));
  }
  CHECK(std::filesystem::is_empty(dir.path("contexts")));
  CHECK(std::filesystem::is_empty(dir.path("trash")));
}

TEST_CASE("child saves a large checkpoint", "[.child]") {
  MemoryAccount account;
  auto store = must(ContextStore::open(child_setting("STORE"), account));
  auto writer = must(store->create("x", 3, ""));
  must(writer->commit_chunk(Chunk(kSeed, 0, 10, 3).write()));
  const std::vector<std::byte> bytes(size_t{24} << 20, std::byte{42});
  const std::vector<NamedBytes> parts(6, {"layer", bytes});
  const int64_t before = process_peak_rss_bytes();
  must(writer->save_checkpoint(10, parts, {}));
  must(writer->save_checkpoint(10, parts, {}));
  report_to_parent(std::to_string(process_peak_rss_bytes() - before));
  report_to_parent(std::to_string(account.peak_total_bytes()));
}

TEST_CASE("a checkpoint far larger than the memtables is written in bounded memory", "[storage]") {
  TempDir dir;
  ChildProcess child("child saves a large checkpoint", {{"STORE", dir.path()}});
  const auto growth = child.read_line(), accounted = child.read_line();
  REQUIRE((growth && accounted));
  CHECK(child.wait() == 0);
  CAPTURE(*growth, *accounted);
  CHECK(std::stoll(*accounted) <= 64 << 20);
// The address sanitizer keeps freed memory; the thread sanitizer shadows all memory.
#ifndef REFORM_SANITIZED
  CHECK(std::stoll(*growth) <= 48 << 20);
#endif
}

TEST_CASE("under a cap of memory a store is refused, not overdrawn", "[storage]") {
  TempDir dir;
  MemoryAccount none(4 << 20), little(24 << 20);
  CHECK(ContextStore::open(dir.path(), none).status().code == Code::kMemoryCap);
  auto store = must(ContextStore::open(dir.path(), little));
  CHECK(store->create("x", 3, "").status().code == Code::kMemoryCap);
  CHECK(must(store->list()).empty());
  CHECK(std::filesystem::is_empty(dir.path("trash")));
}

// A disk of 48 MiB, 20 of them taken at first (opening again may need as much as the log holds, to empty it).
TEST_CASE("child fills a disk", "[.child]") {
  const std::string dir = child_setting("STORE");
  const bool mounted = (::unshare(CLONE_NEWNS) == 0 || ::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
                       ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                       ::mount("tmpfs", dir.c_str(), "tmpfs", 0, "size=48m") == 0;
  if (!mounted) {
    report_to_parent("cannot mount");
    return;
  }
  std::ofstream(dir + "/lost+found") << std::string(20 << 20, 'x');
  constexpr int64_t kChunk = 2000;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir, account));
  auto writer = must(store->create("x", kRowBytes, ""));
  int64_t saved = 0;
  Status status;
  for (int64_t n = 0; status.ok(); n += kChunk) {
    status = writer->commit_chunk(Chunk(kSeed, n, kChunk, kRowBytes).write());
    if (status.ok()) status = save(*writer, n + kChunk, uint64_t(n + kChunk), {2'000'000});
    if (status.ok()) saved = n + kChunk;
    REQUIRE(n < 1'000'000);
  }
  INFO(status.message);
  CHECK(status.code == Code::kNoSpace);
  CHECK(status.message.find("context \"x\"") != std::string::npos);
  CHECK(saved >= 2 * kChunk);
  CHECK(writer->commit_chunk(Chunk(kSeed, writer->meta().n_tokens, 5, kRowBytes).write()).code == Code::kNoSpace);
  writer.reset();
  const auto verify = [&] {
    auto reader = must(store->open_reader("x"));
    CHECK(reader->meta().n_tokens >= saved);
    must(compare_tokens(*reader, kSeed));
    must(compare_embeddings(*reader, kSeed));
    const int64_t last = must(reader->checkpoints()).back();
    CHECK(last >= saved);
    must(compare_checkpoint(*reader, last, uint64_t(last), {2'000'000}));
    return last;
  };
  const int64_t last = verify();
  std::filesystem::remove(dir + "/lost+found");
  writer = must(store->open_writer("x"));
  must(writer->truncate(last, "[]", "{}"));
  must(writer->commit_chunk(Chunk(kSeed, last, kChunk, kRowBytes).write()));
  must(save(*writer, last + kChunk, uint64_t(last + kChunk), {2'000'000}));
  must(writer->finish("[]", "{}"));
  writer.reset();
  saved = last + kChunk;
  verify();
  report_to_parent("well");
}

TEST_CASE("a full disk stops a writer cleanly, and with room again it goes on", "[storage]") {
  TempDir dir;
  ChildProcess child("child fills a disk", {{"STORE", dir.path()}});
  const auto outcome = child.read_line();
  if (outcome == "cannot mount") return skip("no file system can be mounted here");
  CHECK(outcome == "well");
  CHECK(child.wait() == 0);
}

TEST_CASE("a directory of other files is not taken for a store", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  std::ofstream(dir.path("thesis.tex")) << "\\documentclass";
  const Status refused = ContextStore::open(dir.path(), account).status();
  CHECK(refused.code == Code::kUsage);
  CHECK(refused.message.find("thesis.tex") != std::string::npos);
  CHECK(ContextStore::open(dir.path("thesis.tex"), account).status().code == Code::kUsage);
  CHECK(ContextStore::open("", account).status().code == Code::kUsage);
  auto store = must(ContextStore::open(dir.path("deep/er"), account));
  must(store->create("x", 3, ""));
  struct stat info;
  REQUIRE(::stat(dir.path("deep/er").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
}

TEST_CASE("the catalogue is only a cache: gone, damaged or old, the list is the same", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path(), account));
  for (const std::string name : {"b", "a", "\xC3\xA4"}) {
    auto writer = must(store->create(name, 3, "set"));
    must(writer->commit_chunk(Chunk(kSeed, 0, 10, 3).write()));
    if (name != "b") must(writer->finish("src", "\xFF not UTF-8"));
  }
  const std::string catalogue = dir.path("catalogue.json");
  for (const std::string damage : {"", "{", "[]", "{\"format\":1,\"checksum\":\"0\",\"body\":[]}", "gone", "kept"}) {
    if (damage == "gone") {
      std::filesystem::remove(catalogue);
    } else if (damage != "kept") {
      std::ofstream(catalogue, std::ios::trunc) << damage;
    }
    const auto entries = must(store->list());
    REQUIRE(entries.size() == 3);
    CHECK(entries[0].meta.name == "a");
    CHECK(entries[1].meta.name == "b");
    CHECK(entries[2].meta.name == "\xC3\xA4");
    CHECK(entries[0].meta.progress == "\xFF not UTF-8");
    CHECK(entries[0].meta.complete);
    CHECK_FALSE(entries[1].meta.complete);
    for (const ContextEntry& entry : entries) {
      must(entry.state);
      CHECK(entry.meta.n_tokens == 10);
      CHECK(entry.meta.settings == "set");
    }
  }
  const Status missing = store->find("c").status();
  CHECK(missing.code == Code::kNotFound);
  CHECK(missing.message.find("\"a\", \"b\"") != std::string::npos);
  CHECK(store->create("", 3, "").status().code == Code::kUsage);
  CHECK(store->create("a\nb", 3, "").status().code == Code::kUsage);
  CHECK(store->create("c", 0, "").status().code == Code::kUsage);
}
