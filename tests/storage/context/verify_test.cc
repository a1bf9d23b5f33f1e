// Verify reads everything, names each damage, goes on past the first, and also finds damage where no live value is.
#include <algorithm>
#include <functional>

#include "storage/format/frame.h"
#include "storage/format/schema.h"
#include "tests/storage/support/raw_database.h"
#include "tests/storage/support/store_fixture.h"
#include "tests/support/files.h"

using namespace reform;
using namespace reform::test;
using schema::Family;
using schema::Kind;

namespace {

constexpr int32_t kRowBytes = 40;
const std::vector<int64_t> kParts = {1'300'001, 0, 31};

// Context "hurt": two checkpoints, four blocks, complete or not. Context "other" lies beside it.
class VerifiedStore {
 public:
  explicit VerifiedStore(bool complete = true) {
    auto store = must(ContextStore::open(dir_.path(), account_));
    auto writer = must(store->create("hurt", kRowBytes, "{}"));
    id_ = writer->meta().id;
    must(writer->commit_chunk(Chunk(1, 0, 5000, kRowBytes).write()));
    must(save(*writer, 5000, 1, kParts));
    must(writer->commit_chunk(Chunk(1, 5000, 4096, kRowBytes).write()));
    must(writer->commit_chunk(Chunk(1, 9096, 7, kRowBytes).write()));
    must(save(*writer, 9103, 2, {70'000}, {5000, 9103}));
    if (complete) must(writer->finish("[]", "{}"));
    auto other = must(store->create("other", 7, ""));
    must(other->commit_chunk(Chunk(2, 0, 100, 7).write()));
    must(other->finish("[]", "{}"));
  }

  std::string context_dir() const { return dir_.path("contexts/" + id_); }
  const std::string& id() const { return id_; }
  std::unique_ptr<ContextStore> open() { return must(ContextStore::open(dir_.path(), account_)); }
  // The verdict on "hurt"; "other" must be undamaged.
  ContextVerdict verify(const ContextProgressFn& progress = {}) {
    auto store = open();
    const auto verdicts = must(store->verify({}, progress));
    REQUIRE(verdicts.size() == 2);
    const bool hurt_first = verdicts[0].meta.id == id_;
    CHECK(verdicts[hurt_first ? 1 : 0].n_damages == 0);
    return verdicts[hurt_first ? 0 : 1];
  }

 private:
  TempDir dir_;
  MemoryAccount account_;
  std::string id_;
};

// Each of `wanted` must be part of one damage's message. There may be no others but those of whole files.
void check_damages(const ContextVerdict& verdict, const std::vector<std::string>& wanted) {
  std::string all;
  for (const Status& damage : verdict.damages) {
    CHECK(damage.code == Code::kCorrupt);
    CHECK(damage.message.starts_with("context \"hurt\" ("));
    all += damage.message + "\n";
  }
  INFO(all);
  for (const std::string& part : wanted) {
    CAPTURE(part);
    CHECK(all.find(part) != std::string::npos);
  }
  CHECK(verdict.n_damages == int64_t(wanted.size()));
}

std::string reframed(const VerifiedStore& store, RawDatabase& db, Family family, Kind kind, uint64_t block,
                     const std::function<void(std::string& payload)>& change) {
  std::string value = db.get(family, block);
  std::string payload = value.substr(schema::kFrameHeaderBytes, value.size() - schema::kFrameBytes);
  change(payload);
  return frame_value(store.id(), kind, block, std::as_bytes(std::span(payload)));
}

}  // namespace

TEST_CASE("verify: an intact context has no damage, finished or not, and progress goes from nothing to all of it",
          "[storage]") {
  const bool complete = GENERATE(true, false);
  VerifiedStore store(complete);
  int64_t last = 0, total = 0;
  const ContextVerdict verdict = store.verify([&](const std::string& name, int64_t done, int64_t of) -> Status {
    if (name != "hurt") return {};
    CHECK(done >= last);
    CHECK(done <= of);
    last = done, total = of;
    return {};
  });
  check_damages(verdict, {});
  CHECK(verdict.busy.ok());
  CHECK(verdict.meta.n_tokens == 9103);
  CHECK(last == total);
  // Every file's bytes and every value's. What only the log has is in no file yet.
  CHECK(verdict.checked_bytes >= (complete ? 2 : 1) * (9103 * kRowBytes + 1'300'032 + 70'000));
}

TEST_CASE("verify: each damaged value is named, in one go", "[storage]") {
  VerifiedStore store;
  const uint64_t piece2 = schema::checkpoint_block(1, 2), other_index = schema::checkpoint_block(2, 0);
  {
    RawDatabase db(store.context_dir());
    const std::string first = db.get(Family::kSpans, 0);
    db.put(Family::kSpans, 4096, first);  // under a wrong key
    // Sound by itself, but it does not begin where the last one ends.
    db.put(Family::kSpans, 9096, reframed(store, db, Family::kSpans, Kind::kSpans, 9096, [](std::string& payload) {
             payload[0] = char(payload[0] ^ 1);
           }));
    db.erase(Family::kEmbeddings, 0);
    db.put(Family::kEmbeddings, 5000,
           reframed(store, db, Family::kEmbeddings, Kind::kEmbeddings, 5000, [](std::string& p) { p.pop_back(); }));
    std::string bad = db.get(Family::kCheckpoints, piece2);
    bad[100] = char(bad[100] ^ 4);
    db.put(Family::kCheckpoints, piece2, bad);
    db.put(Family::kCheckpoints, other_index,
           reframed(store, db, Family::kCheckpoints, Kind::kCheckpointIndex, other_index,
                    [](std::string& payload) { payload[1] = char(payload[1] + 1); }));
  }
  check_damages(store.verify(), {"token block 4096 holds token block 0", "token block 9096 does not follow",
                                 "the token blocks end at byte", "embedding block 0 is missing",
                                 "embedding block 5000 has 163839 bytes, expected 163840",
                                 "checkpoint 1 piece 2 fails its checksum", "checkpoint at 9103 tokens does not fit"});
}

TEST_CASE("verify: a flipped bit anywhere in a table or blob file is named with the file", "[storage]") {
  VerifiedStore store(GENERATE(true, false));
  int n_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(store.context_dir())) {
    const std::string path = entry.path().string(), name = entry.path().filename().string();
    if (!name.ends_with(".sst") && !name.ends_with(".blob")) continue;
    ++n_files;
    const std::string good = read_file(path);
    const size_t step = std::max<size_t>(1, good.size() / 12);
    for (size_t at = 0; at < good.size() + step; at += step) {
      const size_t place = std::min(at, good.size() - 1);
      INFO(name << " byte " << place << " of " << good.size());
      std::string bad = good;
      bad[place] = char(bad[place] ^ 1 << place % 8);
      write_file(path, bad);
      const ContextVerdict verdict = store.verify();
      CHECK(verdict.n_damages >= 1);
      const bool named = std::any_of(verdict.damages.begin(), verdict.damages.end(), [&](const Status& damage) {
        return damage.message.find(name) != std::string::npos && damage.message.find("hurt") != std::string::npos;
      });
      CHECK(named);
    }
    write_file(path, good);
  }
  CHECK(n_files >= 4);
  check_damages(store.verify(), {});
}

// RocksDB trusts some bytes of a table before it has checked them, and asserts on what it reads there.
TEST_CASE("a flipped bit at any byte of a table is an error at most, never the end of the process", "[storage]") {
  VerifiedStore store;
  auto opened = store.open();
  std::string path;
  for (const auto& entry : std::filesystem::directory_iterator(store.context_dir())) {
    const bool smaller = path.empty() || entry.file_size() < std::filesystem::file_size(path);
    if (entry.path().extension() == ".sst" && smaller) path = entry.path().string();
  }
  const std::string good = read_file(path);
  REQUIRE(good.size() < 3000);
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = char(bad[at] ^ (at % 2 == 0 ? 0x80 : 1 << at % 8));
    write_file(path, bad);
    const Status status = opened->open_reader("hurt").status();
    if (!status.ok() && status.code != Code::kCorrupt) FAIL("byte " << at << ": " << status.message);
  }
  write_file(path, good);
  must(opened->open_reader("hurt"));
}

TEST_CASE("a table that a dead writer left half-written is nothing to its context", "[storage]") {
  VerifiedStore store(GENERATE(true, false));
  std::string table;
  for (const auto& entry : std::filesystem::directory_iterator(store.context_dir()))
    if (entry.path().extension() == ".sst") table = read_file(entry.path().string());
  // Nothing, a part, and a table in which only the properties are torn: sectors reach the disk in any order.
  std::string torn = table;
  torn.replace(torn.size() / 2, torn.size() / 2 - 150, torn.size() / 2 - 150, '\x5a');
  for (const std::string& left : {std::string(), table.substr(0, table.size() / 2), torn}) {
    write_file(store.context_dir() + "/009999.sst", left);
    check_damages(store.verify(), {});
    must(store.open()->open_reader("hurt"));
  }
  must(store.open()->open_writer("hurt"));
  CHECK_FALSE(std::filesystem::exists(store.context_dir() + "/009999.sst"));
}

TEST_CASE("verify: what cannot even be opened is damaged, not the end of the check", "[storage]") {
  VerifiedStore store;
  const std::string path = store.context_dir() + "/" + GENERATE(as<std::string>(), "context.json", "CURRENT");
  const std::string good = read_file(path);
  write_file(path, good.substr(0, good.size() / 2));
  const ContextVerdict verdict = store.verify();
  CHECK(verdict.n_damages == 1);
  CHECK(verdict.damages.at(0).code == Code::kCorrupt);
  CHECK(verdict.damages.at(0).message.find(store.id()) != std::string::npos);
}

TEST_CASE("verify: by name it includes the replacement, a busy one is said, an unknown one is an error", "[storage]") {
  VerifiedStore fixture;
  auto store = fixture.open();
  auto replacement = must(store->create("hurt", kRowBytes, "{}", Which::kReplacement));
  must(replacement->commit_chunk(Chunk(3, 0, 50, kRowBytes).write()));
  const auto while_written = must(store->verify({"hurt"}, {}));
  REQUIRE(while_written.size() == 2);
  CHECK(while_written[0].busy.ok());
  CHECK(while_written[0].meta.n_tokens == 9103);
  CHECK(while_written[1].replacement);
  CHECK(while_written[1].busy.code == Code::kBusy);
  CHECK(while_written[1].busy.message.find("process") != std::string::npos);
  CHECK(while_written[1].checked_bytes == 0);
  replacement.reset();
  const auto after = must(store->verify({"hurt"}, {}));
  CHECK((after[1].busy.ok() && after[1].n_damages == 0 && after[1].meta.n_tokens == 50));
  CHECK(store->verify({"hurt", "nobody"}, {}).status().code == Code::kNotFound);
}

TEST_CASE("verify: a store of which the system refuses to say what was removed is unreadable", "[storage]") {
  VerifiedStore fixture;
  auto store = fixture.open();
  const std::string trash = fixture.context_dir() + "/../../trash";
  std::filesystem::remove(trash);
  std::filesystem::create_symlink("trash", trash);
  CHECK(store->verify({}, {}).status().code == Code::kIo);
  CHECK(store->find("hurt").status().code == Code::kIo);
  std::filesystem::remove(trash);
  must(store->open_reader("hurt"));
}

TEST_CASE("verify: stops where it is told to, and leaves everything as it was", "[storage]") {
  VerifiedStore fixture;
  auto store = fixture.open();
  int calls = 0;
  const auto stopped = store->verify({}, [&](const std::string&, int64_t, int64_t) -> Status {
    return ++calls < 5 ? Status{} : Status{Code::kCancelled, "stopped"};
  });
  CHECK(stopped.status().code == Code::kCancelled);
  CHECK(calls == 5);
  must(store->open_writer("hurt"));
  check_damages(fixture.verify(), {});
}
