// Damage of every kind to every file of a context. It is reported as kCorrupt or has no effect. It never gives wrong
// data, and never concerns any other context.
#include <fcntl.h>
#include <rocksdb/db.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "storage/disk/checked_json.h"
#include "storage/format/frame.h"
#include "storage/format/schema.h"
#include "tests/storage/support/raw_database.h"
#include "tests/storage/support/store_fixture.h"
#include "tests/support/files.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr uint64_t kSeed = 77, kOtherSeed = 78, kCheckpointSeed = 5;
constexpr int32_t kRowBytes = 40;
const std::vector<int64_t> kParts = {1'300'001, 0, 31};

class DamagedStore {
 public:
  // Context "hurt" has a checkpoint after the second of three chunks. It is complete, or interrupted with the third
  // chunk in the log only.
  explicit DamagedStore(bool complete) {
    auto store = must(ContextStore::open(dir_.path(), account_));
    {
      auto writer = must(store->create("hurt", kRowBytes, "{\"policy\":\"h2o\"}"));
      must(writer->commit_chunk(Chunk(kSeed, 0, 4096, kRowBytes).write()));
      must(writer->commit_chunk(Chunk(kSeed, 4096, 1000, kRowBytes).write()));
      must(save(*writer, 5096, kCheckpointSeed, kParts));
      must(writer->commit_chunk(Chunk(kSeed, 5096, 500, kRowBytes).write()));
      if (complete) must(writer->finish("[]", "{}"));
      id_ = writer->meta().id;
    }
    auto other = must(store->create("other", 7, ""));
    must(other->commit_chunk(Chunk(kOtherSeed, 0, 100, 7).write()));
    must(other->finish("[]", "{}"));
    other_id_ = other->meta().id;
    min_tokens_ = complete ? 5596 : 5096;
  }

  std::string context_dir() const { return dir_.path("contexts/" + id_); }
  std::string other_dir() const { return dir_.path("contexts/" + other_id_); }
  const std::string& id() const { return id_; }

  std::vector<std::string> files() const {
    std::vector<std::string> found;
    for (const auto& file : std::filesystem::directory_iterator(context_dir())) found.push_back(file.path().string());
    std::sort(found.begin(), found.end());
    return found;
  }

  // The first problem in opening and reading all of "hurt". Whatever is read without a problem must be right.
  Status read_all() {
    auto store = must(ContextStore::open(dir_.path(), account_));
    const auto entries = must(store->list());
    REQUIRE(entries.size() == 2);
    for (const ContextEntry& entry : entries) CHECK((entry.state.ok() || entry.state.code == Code::kCorrupt));
    auto other = must(store->open_reader("other"));
    must(compare_tokens(*other, kOtherSeed));
    must(compare_embeddings(*other, kOtherSeed));
    TRY_ASSIGN(auto reader, store->open_reader("hurt"));
    REQUIRE(reader->meta().n_tokens >= min_tokens_);
    REQUIRE(reader->meta().complete == (min_tokens_ == 5596));
    REQUIRE(reader->meta().settings == "{\"policy\":\"h2o\"}");
    TRY(compare_tokens(*reader, kSeed));
    TRY(compare_embeddings(*reader, kSeed));
    TRY_ASSIGN(const auto checkpoints, reader->checkpoints());
    REQUIRE(checkpoints == std::vector<int64_t>{5096});
    return compare_checkpoint(*reader, 5096, kCheckpointSeed, kParts);
  }

  // Checks that damage is harmless, or kCorrupt that names the context. True if it was noticed.
  bool check_noticed() {
    const Status status = read_all();
    if (status.ok()) return false;
    INFO(status.message);
    CHECK(status.code == Code::kCorrupt);
    CHECK((status.message.find("hurt") != std::string::npos || status.message.find(id_) != std::string::npos));
    return true;
  }

 private:
  TempDir dir_;
  MemoryAccount account_;
  std::string id_, other_id_;
  int64_t min_tokens_ = 0;
};

// Evenly spaced places in a file, the first and last byte included.
std::vector<size_t> places_in(size_t size, size_t n_places) {
  std::vector<size_t> places;
  const size_t step = std::max<size_t>(1, size / n_places);
  for (size_t at = 0; at < size; at += step) places.push_back(at);
  if (size > 0) places.push_back(size - 1);
  return places;
}

// RocksDB keeps no checksum over these files, and we read nothing from them.
bool is_informative(const std::string& path) {
  const std::string name = std::filesystem::path(path).filename();
  return name.starts_with("OPTIONS") || name == "IDENTITY" || name == "LOCK";
}

}  // namespace

TEST_CASE("a flipped bit in any file of a context is noticed or harmless, never wrong data", "[storage]") {
  const bool complete = GENERATE(true, false);
  DamagedStore store(complete);
  must(store.read_all());
  for (const std::string& path : store.files()) {
    const std::string good = read_file(path);
    const auto places = places_in(good.size(), is_informative(path) ? 3 : 40);
    size_t n_noticed = 0;
    for (const size_t at : places) {
      INFO(path << " byte " << at << " of " << good.size());
      std::string bad = good;
      bad[at] = char(bad[at] ^ 1 << at % 8);
      write_file(path, bad);
      n_noticed += store.check_noticed();
    }
    write_file(path, good);
    // A test that damages nothing would pass all of the above. So damage in data files must be noticed nearly
    // everywhere.
    if (path.ends_with(".blob")) CHECK(n_noticed * 10 >= places.size() * 8);
    if (path.ends_with(".sst")) CHECK(n_noticed * 10 >= places.size() * 3);
    if (path.ends_with("context.json")) CHECK(n_noticed == places.size());
  }
  must(store.read_all());
}

TEST_CASE("a file of a context cut short or gone is noticed or harmless, never wrong data", "[storage]") {
  const bool complete = GENERATE(true, false);
  DamagedStore store(complete);
  for (const std::string& path : store.files()) {
    const std::string good = read_file(path);
    for (const size_t keep : places_in(good.size(), 12)) {
      INFO(path << " cut to " << keep << " of " << good.size());
      write_file(path, good.substr(0, keep));
      const bool noticed = store.check_noticed();
      if (path.ends_with(".sst") || path.ends_with("context.json")) CHECK(noticed);
    }
    INFO(path << " removed");
    std::filesystem::remove(path);
    const bool noticed = store.check_noticed();
    CHECK((noticed || is_informative(path) || good.empty() || path.ends_with(".log")));
    write_file(path, good);
  }
  must(store.read_all());
}

namespace {

using schema::Family;
const uint64_t kPiece1 = schema::checkpoint_block(1, 1), kPiece2 = schema::checkpoint_block(1, 2);

struct Tampering {
  const char* what;
  void (*apply)(DamagedStore& store, RawDatabase& db);
  const char* message;  // the error contains it
};

void swap_values(RawDatabase& db, Family family, uint64_t a, uint64_t b) {
  const std::string at_a = db.get(family, a), at_b = db.get(family, b);
  db.put(family, a, at_b);
  db.put(family, b, at_a);
}

const Tampering kTamperings[] = {
    {"embedding blocks swapped", [](DamagedStore&, RawDatabase& db) { swap_values(db, Family::kEmbeddings, 0, 4096); },
     "embedding block 0 holds embedding block 4096"},
    {"token blocks swapped", [](DamagedStore&, RawDatabase& db) { swap_values(db, Family::kSpans, 4096, 5096); },
     "token block 4096 holds token block 5096"},
    {"checkpoint pieces swapped",
     [](DamagedStore&, RawDatabase& db) { swap_values(db, Family::kCheckpoints, kPiece1, kPiece2); },
     "checkpoint 1 piece 1 holds checkpoint 1 piece 2"},
    {"a value of another kind",
     [](DamagedStore&, RawDatabase& db) { db.put(Family::kEmbeddings, 0, db.get(Family::kSpans, 0)); },
     "embedding block 0 holds token block 0"},
    {"another context's block",
     [](DamagedStore& store, RawDatabase& db) {
       db.put(Family::kSpans, 0, RawDatabase(store.other_dir()).get(Family::kSpans, 0));
     },
     "token block 0 fails its checksum"},
    {"another context's state",
     [](DamagedStore& store, RawDatabase& db) {
       db.put(Family::kManifest, 2, RawDatabase(store.other_dir()).get(Family::kManifest, 2));
     },
     "state record fails its checksum"},
    {"a token block gone", [](DamagedStore&, RawDatabase& db) { db.erase(Family::kSpans, 4096); },
     "token block 4096 is missing"},
    {"an embedding block gone", [](DamagedStore&, RawDatabase& db) { db.erase(Family::kEmbeddings, 5096); },
     "embedding block 5096 is missing"},
    {"the state gone", [](DamagedStore&, RawDatabase& db) { db.erase(Family::kManifest, 2); },
     "state record is missing"},
    {"a value cut short", [](DamagedStore&, RawDatabase& db) { db.put(Family::kSpans, 0, "1234567"); },
     "token block 0 has 7 bytes, fewer than its frame"},
    {"a block of a newer format",
     [](DamagedStore&, RawDatabase& db) {
       std::string value = db.get(Family::kEmbeddings, 0);
       value[0] = 9;
       db.put(Family::kEmbeddings, 0, value);
     },
     "format version 9, this program reads up to 2"},
    {"an intact frame round an impossible payload",
     [](DamagedStore& store, RawDatabase& db) {
       const std::string payload = "not a state";
       db.put(Family::kManifest, 2,
              frame_value(store.id(), schema::Kind::kState, 2, std::as_bytes(std::span(payload))));
     },
     "state record holds impossible values"},
    {"an intact frame round too few tokens",
     [](DamagedStore& store, RawDatabase& db) {
       std::string payload = db.get(Family::kSpans, 4096);
       payload = payload.substr(schema::kFrameHeaderBytes, payload.size() - schema::kFrameBytes - 1);
       db.put(Family::kSpans, 4096,
              frame_value(store.id(), schema::Kind::kSpans, 4096, std::as_bytes(std::span(payload))));
     },
     "token block 4096 is not a block of 1000 tokens"},
};

}  // namespace

TEST_CASE("a value under a wrong key, of another context or of a newer format is refused by name", "[storage]") {
  for (const Tampering& tampering : kTamperings) {
    INFO(tampering.what);
    DamagedStore store(true);
    {
      RawDatabase db(store.context_dir());
      tampering.apply(store, db);
    }
    const Status status = store.read_all();
    CHECK(status.code == Code::kCorrupt);
    CHECK(status.message.find("context \"hurt\"") != std::string::npos);
    INFO(status.message);
    CHECK(status.message.find(tampering.message) != std::string::npos);
  }
}

TEST_CASE("a database put back to an earlier state is noticed", "[storage]") {
  TempDir dir;
  MemoryAccount account;
  std::string context_dir;
  const std::string backup = dir.path("backup");
  auto store = must(ContextStore::open(dir.path("store"), account));
  {
    auto writer = must(store->create("hurt", 3, ""));
    context_dir = dir.path("store/contexts/" + writer->meta().id);
    must(writer->commit_chunk(Chunk(kSeed, 0, 10, 3).write()));
    must(save(*writer, 10, 1, {10}));
  }
  std::filesystem::copy(context_dir, backup, std::filesystem::copy_options::recursive);
  {
    auto writer = must(store->open_writer("hurt"));
    must(writer->commit_chunk(Chunk(kSeed, 10, 10, 3).write()));
    must(writer->finish("", ""));
  }
  const std::string ledger = read_file(context_dir + "/context.json");
  std::filesystem::remove_all(context_dir);
  std::filesystem::copy(backup, context_dir, std::filesystem::copy_options::recursive);
  must(store->open_reader("hurt"));  // as a whole it is a good backup
  write_file(context_dir + "/context.json", ledger);
  const Status status = store->open_reader("hurt").status();
  CHECK(status.code == Code::kCorrupt);
  CHECK(status.message.find("lost writes") != std::string::npos);
}

TEST_CASE("a damaged context can be listed and removed, also without its name", "[storage]") {
  DamagedStore damaged(true);
  const std::string store_dir = std::filesystem::path(damaged.context_dir()).parent_path().parent_path();
  MemoryAccount account;
  write_file(damaged.context_dir() + "/CURRENT", "");
  auto store = must(ContextStore::open(store_dir, account));
  const ContextEntry entry = must(store->find("hurt"));
  CHECK(entry.state.code == Code::kCorrupt);
  CHECK(entry.meta.name == "hurt");
  CHECK(entry.disk_bytes > 1'000'000);
  SECTION("by name") { must(store->remove("hurt")); }
  SECTION("by id, its name lost with ledger and catalogue") {
    std::filesystem::remove(damaged.context_dir() + "/context.json");
    std::filesystem::remove(store_dir + "/catalogue.json");
    // It may be the one that is looked for: a second one of its name would hide it.
    const Status unknown = store->find("hurt").status();
    CHECK(unknown.code == Code::kCorrupt);
    CHECK(unknown.message.find("reform rm " + damaged.id()) != std::string::npos);
    CHECK(store->create("hurt", kRowBytes, "{}").status().code == Code::kCorrupt);
    const auto entries = must(store->list());
    REQUIRE(entries.size() == 2);
    CHECK(entries[0].meta.id == damaged.id());
    CHECK(entries[0].state.code == Code::kCorrupt);
    must(store->remove(damaged.id()));
  }
  CHECK_FALSE(std::filesystem::exists(damaged.context_dir()));
  CHECK(must(store->list()).size() == 1);
}

TEST_CASE("ledger, marker and database of a newer format are refused with both versions", "[storage]") {
  DamagedStore damaged(true);
  const std::string store_dir = std::filesystem::path(damaged.context_dir()).parent_path().parent_path();
  MemoryAccount account;
  const auto raise_format = [](const std::string& path) {
    nlohmann::json file = nlohmann::json::parse(read_file(path));
    file["format"] = 9;
    write_file(path, file.dump());
  };
  raise_format(damaged.context_dir() + "/context.json");
  auto store = must(ContextStore::open(store_dir, account));
  const Status context = store->find(damaged.id()).status().ok() ? store->open_reader(damaged.id()).status()
                                                                 : store->open_reader("hurt").status();
  CHECK(context.code == Code::kCorrupt);
  CHECK(context.message.find("format version 9, this program reads up to 2") != std::string::npos);
  must(store->open_reader("other"));
  raise_format(store_dir + "/store.json");
  const Status whole = ContextStore::open(store_dir, account).status();
  CHECK(whole.code == Code::kCorrupt);
  CHECK(whole.message.find("format version 9, this program reads up to 2") != std::string::npos);
}
