// A MANIFEST's damaged end: found in logs that RocksDB itself has written, and then opened by RocksDB.
#include "storage/disk/rocksdb_files/version_log.h"

#include <rocksdb/db.h>

#include <filesystem>
#include <random>

#include "storage/disk/disk.h"
#include "storage/disk/ledger.h"
#include "tests/storage/support/store_fixture.h"
#include "tests/support/files.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr int kFlushes = 12;
constexpr size_t kKeyBytes = 9001;  // each table's record holds two keys, so records cross the ends of 32 KiB blocks

std::string key_of(int i) { return std::string(kKeyBytes, char('a' + i)); }

// A database of kFlushes tables. Its newest MANIFEST has a record for each.
class LoggedDatabase {
 public:
  LoggedDatabase() {
    rocksdb::Options options = this->options(rocksdb::Env::Default());
    options.create_if_missing = true;
    rocksdb::DB* made = nullptr;
    REQUIRE(rocksdb::DB::Open(options, dir_.path("db"), &made).ok());
    const std::unique_ptr<rocksdb::DB> db(made);
    for (int i = 0; i < kFlushes; ++i) {
      REQUIRE(db->Put({}, key_of(i), "value").ok());
      REQUIRE(db->Flush({}).ok());
    }
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path("db"))) {
      if (entry.path().filename().string().starts_with("MANIFEST-")) log_path_ = entry.path().string();
    }
    set_synced(0);
  }
  // Sets how much the ledger beside the database calls synced.
  void set_synced(size_t bytes) const {
    Ledger ledger;
    ledger.id = "db";
    ledger.version_log = std::filesystem::path(log_path_).filename();
    ledger.version_log_bytes = int64_t(bytes);
    must(write_ledger(*Disk::plain(), dir_.path("db"), ledger));
  }
  std::string log() const { return read_file(log_path_); }
  void set_log(const std::string& bytes) const { write_file(log_path_, bytes); }
  // How many of the first keys exist, as `env` shows the files; -1 if RocksDB refuses the files.
  int count_keys(rocksdb::Env* env) const {
    rocksdb::DB* opened = nullptr;
    if (!rocksdb::DB::OpenForReadOnly(options(env), dir_.path("db"), &opened).ok()) return -1;
    const std::unique_ptr<rocksdb::DB> db(opened);
    std::string value;
    int n = 0;
    while (n < kFlushes && db->Get({}, key_of(n), &value).ok()) ++n;
    return n;
  }

 private:
  static rocksdb::Options options(rocksdb::Env* env) {
    rocksdb::Options options;
    options.env = env;
    options.disable_auto_compactions = true;
    return options;
  }
  TempDir dir_;
  std::string log_path_;
};

std::string garbage(size_t n, std::mt19937_64& random) {
  std::string bytes(n, '\0');
  for (char& c : bytes) c = char(random());
  return bytes;
}

}  // namespace

TEST_CASE("version log: garbage after whole records ends it there, and RocksDB opens what was synced", "[storage]") {
  const LoggedDatabase database;
  const std::string log = database.log();
  REQUIRE(log.size() > 3 * 32768);
  REQUIRE(sound_log_bytes(log, 0) == log.size());
  const auto disk = Disk::plain();
  std::mt19937_64 random(7);
  int n_refused = 0, n_short = 0;
  for (int i = 0; i < 60; ++i) {
    // A cut anywhere ends the log at a record's end, and nothing after that changes anything.
    const size_t whole = sound_log_bytes(log.substr(0, random() % log.size()), 0);
    const bool zeros = i % 4 == 0;
    const size_t n_after = 1 + random() % (i % 2 ? 200 : 50'000);
    const std::string after = zeros ? std::string(n_after, '\0') : garbage(n_after, random);
    CAPTURE(i, whole, zeros, n_after);
    CHECK(sound_log_bytes(log.substr(0, whole), 0) == whole);
    CHECK(sound_log_bytes(log.substr(0, whole) + after, 0) == whole);
    CHECK(sound_log_bytes(log.substr(0, whole) + after, whole) == whole);
    CHECK(sound_log_bytes(log.substr(0, whole) + after, whole + 1) == whole + n_after);
    database.set_log(log.substr(0, whole));
    const int n_keys = database.count_keys(rocksdb::Env::Default());
    database.set_log(log.substr(0, whole) + after);
    CHECK(database.count_keys(disk->env()) == n_keys);
    n_refused += database.count_keys(rocksdb::Env::Default()) != n_keys;
    n_short += n_keys < kFlushes;
  }
  CHECK(n_refused > 10);  // else this wrapper would be unnecessary
  CHECK(n_short > 10);
}

TEST_CASE("version log: a hole in what was not synced ends it before, one in what was is RocksDB's to refuse",
          "[storage]") {
  const LoggedDatabase database;
  const std::string log = database.log();
  const size_t synced = sound_log_bytes(log.substr(0, log.size() / 2), 0);
  database.set_synced(synced);
  const auto disk = Disk::plain();
  std::mt19937_64 random(8);
  int n_synced = 0;
  for (int i = 0; i < 100; ++i) {
    const size_t n = i % 2 ? 1 : 1 + random() % 600;
    const size_t at = random() % (log.size() - n);
    std::string damaged = log;
    for (size_t k = 0; k < n; ++k) damaged[at + k] = char(damaged[at + k] ^ (1 + random() % 255));
    if (sound_log_bytes(damaged, 0) == log.size()) continue;  // the damage is in a block's padding
    CAPTURE(at, n);
    const size_t before = sound_log_bytes(log.substr(0, at), 0);  // where the damaged record begins
    const bool was_synced = before < synced;
    CHECK(sound_log_bytes(damaged, synced) == (was_synced ? log.size() : before));
    n_synced += was_synced;
    if (i % 5 != 0) continue;
    database.set_log(log.substr(0, before));
    const int n_keys = database.count_keys(disk->env());
    database.set_log(damaged);
    CHECK(database.count_keys(disk->env()) == (was_synced ? -1 : n_keys));
  }
  CHECK((n_synced > 20 && n_synced < 80));
}

TEST_CASE("version log: nothing, little and nonsense are no records", "[storage]") {
  std::mt19937_64 random(9);
  for (const size_t n : {0, 1, 6, 7, 8, 4096, 32767, 32768, 32769, 100'000}) {
    CAPTURE(n);
    for (const std::string& log : {std::string(n, '\0'), std::string(n, '\1'), garbage(n, random)}) {
      CHECK(sound_log_bytes(log, 0) == 0);
      CHECK(sound_log_bytes(log, 1) == n);
      CHECK(sound_log_bytes(log, UINT64_MAX) == n);
    }
  }
}

TEST_CASE("version log: a context's is damaged up to where its ledger says it was synced, cut beyond", "[storage]") {
  const TempDir dir;
  MemoryAccount account;
  auto store = must(ContextStore::open(dir.path("store"), account));
  const bool complete = GENERATE(true, false);
  std::string id;
  {
    auto writer = must(store->create("book", 40, "{}"));
    id = writer->meta().id;
    must(writer->commit_chunk(Chunk(1, 0, 5000, 40).write()));
    must(save(*writer, 5000, 1, {100}));
    if (complete) must(writer->finish("[]", "{}"));
  }
  const std::string context = dir.path("store/contexts/" + id);
  const Ledger ledger = must(read_ledger(*Disk::plain(), context));
  const std::string path = context + "/" + ledger.version_log, log = read_file(path);
  REQUIRE(ledger.version_log_bytes > 0);
  REQUIRE(size_t(ledger.version_log_bytes) <= log.size());
  const auto verdict = [&] {
    store = must(ContextStore::open(dir.path("store"), account));
    return must(store->verify({}, {})).at(0).n_damages;
  };
  CHECK(verdict() == 0);
  write_file(path, log + "what a loss of power may have left");
  CHECK(verdict() == 0);
  std::mt19937_64 random(3);
  for (int i = 0; i < 20; ++i) {
    std::string damaged = log;
    const size_t at = random() % size_t(ledger.version_log_bytes);
    damaged[at] = char(damaged[at] ^ 1 << random() % 8);
    write_file(path, damaged);
    CAPTURE(at);
    CHECK(verdict() > 0);
    if (i % 5 == 0) CHECK_FALSE(store->open_writer("book").ok());
    CHECK(read_file(path) == damaged);  // nobody has repaired the file
  }
  write_file(path, log);
  CHECK(verdict() == 0);
}
