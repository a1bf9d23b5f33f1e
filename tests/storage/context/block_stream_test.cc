// Many batches at a time, and sizes that a record only claims.
#include "storage/context/block_stream.h"

#include <numeric>

#include "storage/context/checkpoint.h"
#include "storage/format/bytes.h"
#include "tests/storage/support/store_fixture.h"

using namespace reform;
using namespace reform::test;
using schema::Family;
using schema::Kind;

namespace {

class OneDatabase {
 public:
  explicit OneDatabase(Database::Mode mode = Database::Mode::kCreate) { open(mode); }
  void open(Database::Mode mode) {
    db_.reset();
    const auto disk = must(Disk::chosen(dir_.path()));
    db_ =
        must(Database::open(dir_.path("db"), {std::string(32, 'a'), "x"}, mode, {disk, make_block_cache(), &account_}));
  }
  Database& operator*() { return *db_; }
  Database* operator->() { return db_.get(); }
  MemoryAccount& account() { return account_; }

 private:
  TempDir dir_;
  MemoryAccount account_;
  std::unique_ptr<Database> db_;
};

int64_t size_of_block(int64_t i) { return 1 + (i * 7'919'993) % (i % 10 == 3 ? 4'000'000 : 900'000); }

std::string block_bytes(int64_t i) {
  std::string bytes(size_t(size_of_block(i)), '\0');
  for (size_t b = 0; b < bytes.size(); b += 997) bytes[b] = char(i + int64_t(b));
  return bytes;
}

void put_block(Database& db, int64_t i) {
  rocksdb::WriteBatch batch;
  db.put(batch, Family::kEmbeddings, Kind::kEmbeddings, uint64_t(i), as_bytes(block_bytes(i)));
  must(db.write(batch, Database::Durability::kLogged));
}

BlockPlace place(int64_t i) { return {uint64_t(i), size_of_block(i)}; }

}  // namespace

TEST_CASE("a stream of many batches comes whole and in order, of one or none too", "[storage]") {
  constexpr int64_t kBlocks = 60;
  OneDatabase db;
  for (int64_t i = 0; i < kBlocks; ++i) put_block(*db, i);
  if (GENERATE(false, true)) db.open(Database::Mode::kRead);
  for (const int64_t n : {kBlocks, int64_t{1}, int64_t{0}, int64_t{7}}) {
    int64_t next = 0;
    must(stream_blocks(*db, Family::kEmbeddings, Kind::kEmbeddings, MemoryCategory::kIndex, n, place,
                       [&](int64_t i, std::span<const std::byte> payload) -> Status {
                         CHECK(i == next++);
                         const std::string want = block_bytes(i);
                         CHECK(
                             std::equal(payload.begin(), payload.end(), as_bytes(want).begin(), as_bytes(want).end()));
                         return {};
                       }));
    CHECK(next == n);
  }
  CHECK(db.account().peak_bytes(MemoryCategory::kIndex) <= kStreamBytes);
  CHECK(db.account().current_bytes(MemoryCategory::kIndex) == 0);
}

TEST_CASE("a stream hands over all that stands before a bad block, then says which it is", "[storage]") {
  constexpr int64_t kBlocks = 60;
  const int64_t bad = GENERATE(0, 1, 23, kBlocks - 1);
  const bool is_missing = GENERATE(false, true);
  OneDatabase db;
  for (int64_t i = 0; i < kBlocks; ++i) {
    if (i != bad || !is_missing) put_block(*db, i);
  }
  const auto claimed = [&](int64_t i) { return BlockPlace{uint64_t(i), size_of_block(i) + (i == bad ? 1 : 0)}; };
  int64_t next = 0;
  const Status status = stream_blocks(*db, Family::kEmbeddings, Kind::kEmbeddings, MemoryCategory::kIndex, kBlocks,
                                      claimed, [&](int64_t i, std::span<const std::byte>) -> Status {
                                        CHECK(i == next++);
                                        return {};
                                      });
  INFO(status.message);
  CHECK(status.code == Code::kCorrupt);
  CHECK(status.message.find("embedding block " + std::to_string(bad)) != std::string::npos);
  CHECK(next <= bad);
  CHECK(next >= bad - 10);  // only the bad block's own batch is missing
}

TEST_CASE("a checkpoint that claims more bytes than there are allocates nothing for them", "[storage]") {
  OneDatabase db;
  const std::vector<std::byte> bytes(1'500'000, std::byte{3});
  const NamedBytes part{"layer", bytes};
  const CheckpointRef ref = must(write_checkpoint(*db, 10, 1, {&part, 1}));
  int64_t n_bytes = 0;
  const auto count = [&](const std::string&, std::span<const std::byte> b) -> Status {
    n_bytes += int64_t(b.size());
    return {};
  };
  must(read_checkpoint(*db, ref, count));
  CHECK(n_bytes == 1'500'000);
  const int64_t peak = db.account().peak_total_bytes();
  for (const int64_t claimed : {int64_t{2'000'000}, int64_t{1} << 40, int64_t{1} << 61}) {
    std::string index;
    ByteWriter out(index);
    out.varint(1), out.text("layer"), out.varint(uint64_t(claimed));
    rocksdb::WriteBatch batch;
    db->put(batch, Family::kCheckpoints, Kind::kCheckpointIndex, schema::checkpoint_block(1, 0), as_bytes(index));
    must(db->write(batch, Database::Durability::kLogged));
    const Status refused = read_checkpoint(*db, {10, 1, claimed}, count);
    INFO(refused.message);
    CHECK(refused.code == Code::kCorrupt);
    CHECK(refused.message.find("\"x\"") != std::string::npos);
    CHECK(db.account().peak_total_bytes() <= peak + 4'000'000);
  }
}
