// One context's RocksDB: how it is opened, how much memory it may take, and reads and writes of framed values.
//
// Thread-safety: reads from any threads; one writing thread.
#pragma once

#include <reform/status.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/memory.h"
#include "storage/disk/disk.h"
#include "storage/disk/rocksdb_files/live_files.h"
#include "storage/format/frame.h"
#include "storage/format/schema.h"

namespace reform {

// Values that were read together. payloads[i] is the checked payload of the i-th block asked for.
struct BlockBatch {
  std::vector<rocksdb::PinnableSlice> values;
  std::vector<std::span<const std::byte>> payloads;
};

// Per family at most: one that fills, one that is flushed.
constexpr int64_t kMemtables = 2;

// What all databases of a store share.
struct DatabaseShare {
  std::shared_ptr<const Disk> disk;
  std::shared_ptr<rocksdb::Cache> block_cache;
  MemoryAccount* account = nullptr;
};

class Database {
 public:
  enum class Mode { kCreate, kWrite, kRead };

  // kRead opens read-only and writes nothing at all. `families`: all that the database has.
  static Result<std::unique_ptr<Database>> open(const std::string& dir, const ContextTag& tag, Mode mode,
                                                const DatabaseShare& share,
                                                std::span<const schema::Family> families = schema::kFamilies);
  // The most memory that an open database takes. The log of a writer that died (at most 16 MiB), which a reader
  // replays, comes on top.
  static int64_t open_bytes(Mode mode, std::span<const schema::Family> families = schema::kFamilies);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  const ContextTag& tag() const { return tag_; }
  const std::vector<schema::Family>& families() const { return families_; }
  MemoryAccount& account() const { return *share_.account; }
  const Disk& disk() const { return *share_.disk; }
  int64_t bytes_read() const { return bytes_read_; }  // payloads that read() has given so far

  // Which checksums are checked when a value is read. Our frame's covers every byte of the value. RocksDB's own protect
  // what leads to the value, but cost half of a scan's processor time (Debian's is a table-driven CRC32c).
  enum class Checks { kRocksdbAndFrame, kFrame };
  // Every block must exist and be intact, else kCorrupt. kFrame only after verify_tables() of the family.
  Result<BlockBatch> read(schema::Family family, schema::Kind kind, std::span<const uint64_t> blocks,
                          Checks checks = Checks::kRocksdbAndFrame) const;
  // Verifies the family's tables, which say where its values are. Returns what reads must still check.
  Result<Checks> verify_tables(schema::Family family) const;
  // Reads one block, copied out.
  Result<std::string> read_one(schema::Family family, schema::Kind kind, uint64_t block) const;
  // What RocksDB holds for the family on disk and in memtables: at least the sum of its values' payloads.
  int64_t stored_bytes(schema::Family family) const;
  // RocksDB's MANIFEST. Its bytes are those that are synced.
  Result<LiveFile> version_log() const;
  // RocksDB's tables and blob files. `dir` is where this database is.
  Result<std::vector<LiveFile>> live_files(const std::string& dir) const;
  // Whether any key lies in [begin, end).
  Result<bool> any_key_in(schema::Family family, uint64_t begin, uint64_t end) const;

  void put(rocksdb::WriteBatch& batch, schema::Family family, schema::Kind kind, uint64_t block,
           std::span<const std::byte> payload, uint16_t version = schema::kFormatVersion) const;
  void erase(rocksdb::WriteBatch& batch, schema::Family family, uint64_t begin, uint64_t end) const;

  enum class Durability {
    kLogged,    // survives this process; survives the machine's failure only after a later synced write
    kSynced,    // on disk on return, with everything logged before it
    kUnlogged,  // on disk after the next flush() of the family
  };
  Status write(rocksdb::WriteBatch& batch, Durability durability);
  Status flush(std::span<const schema::Family> families);  // memtables to synced files
  // Rewrites what is worth it, so that the family's files hold little but live values. Tables, which are small, are
  // always rewritten. Blob files are only rewritten if may_grow(bytes) says that so many bytes may come to the disk;
  // as many and more go afterwards.
  Status compact(schema::Family family, const std::function<bool(int64_t bytes)>& may_grow);

 private:
  Database(const ContextTag& tag, Mode mode, const DatabaseShare& share, std::span<const schema::Family> families);
  rocksdb::ColumnFamilyHandle* handle(schema::Family family) const { return handles_[size_t(family)]; }
  Status status_of(const rocksdb::Status& status, const std::string& doing) const;

  const ContextTag tag_;
  const Mode mode_;
  const DatabaseShare share_;  // must outlive db_
  const std::vector<schema::Family> families_;
  Reservation memory_;
  std::unique_ptr<rocksdb::DB> db_;
  std::array<rocksdb::ColumnFamilyHandle*, schema::kMaxFamilies> handles_ = {};  // freed before db_
  rocksdb::ColumnFamilyHandle* default_handle_ = nullptr;
  mutable std::atomic<int64_t> bytes_read_ = 0;
};

// The size of the store's one block cache.
constexpr int64_t kBlockCacheBytes = int64_t{8} << 20;
std::shared_ptr<rocksdb::Cache> make_block_cache();

}  // namespace reform
