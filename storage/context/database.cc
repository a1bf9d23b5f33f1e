#include "storage/context/database.h"

#include <fmt/format.h>
#include <reform/exception_status.h>
#include <reform/units.h>
#include <rocksdb/env.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <utility>

#include "base/try.h"
#include "storage/disk/files.h"
#include "storage/format/chunk_kind.h"

namespace reform {
namespace {

using schema::Family;

struct FamilyTraits {
  const char* name;
  int64_t memtable_bytes;
  bool in_blobs;
};

FamilyTraits traits_of(Family family) {
  if (family == Family::kManifest) return {"manifest", 1 * kMiB, false};
  if (family == Family::kCheckpoints) return {"checkpoints", 8 * kMiB, true};
  const ChunkKind* kind = find_chunk_kind(family);
  CHECK(kind != nullptr);
  return {kind->name, kind->memtable_bytes, kind->in_blobs};
}

constexpr uint64_t kMaxLogBytes =
    16 * kMiB;  // of write-ahead log; a writer that opens after a crash rewrites it as tables
constexpr int64_t kTableReaderBytes = 2 * kMiB;  // open tables and file buffers: measured below 1 MiB at 200 files
constexpr int kMaxOpenFiles = 128;

// RocksDB's own log is for its developers; our Status messages say what matters.
class NullLogger : public rocksdb::Logger {
 public:
  NullLogger() : Logger(rocksdb::InfoLogLevel::HEADER_LEVEL) {}
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

// After a failed write we stop, and whoever opens the database next goes on. RocksDB 7.8 by itself waits for room on a
// full disk, and then closing it may wait for that for ever.
class NoRecovery final : public rocksdb::EventListener {
 public:
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool* recover) override {
    *recover = false;
  }
};

rocksdb::DBOptions database_options(Database::Mode mode, const Disk& disk) {
  rocksdb::DBOptions options;
  options.env = disk.env();
  options.use_direct_reads = mode == Database::Mode::kRead && disk.direct_reads();
  options.create_if_missing = options.create_missing_column_families = mode == Database::Mode::kCreate;
  options.error_if_exists = mode == Database::Mode::kCreate;
  options.paranoid_checks = true;
  options.info_log = std::make_shared<NullLogger>();
  options.stats_dump_period_sec = options.stats_persist_period_sec = 0;
  options.max_open_files = kMaxOpenFiles;
  options.max_file_opening_threads = 1;  // a context has few tables: starting threads would cost more than opening them
  options.max_background_jobs = 2;
  options.max_total_wal_size = kMaxLogBytes;
  options.max_manifest_file_size = 1 * kMiB;
  options.bytes_per_sync = 1 * kMiB;  // spreads out what an fsync would otherwise write at once
  options.allow_fallocate = false;    // preallocated tails would count as the context's size
  options.avoid_flush_during_shutdown = true;
  // After a crash the log's unsynced tail may hold anything. The log is good up to its first damage. The ledger
  // (storage/disk/ledger.h) notices if saved data is lost this way.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  options.db_host_id = "";                               // else tables would name the machine
  options.file_checksum_gen_factory = file_checksums();  // for verify (storage/disk/rocksdb_files/live_files.h)
  options.max_bgerror_resume_count = 0;
  options.listeners.push_back(std::make_shared<NoRecovery>());
  return options;
}

rocksdb::ColumnFamilyOptions family_options(Family family, const std::shared_ptr<rocksdb::Cache>& cache) {
  const FamilyTraits traits = traits_of(family);
  rocksdb::ColumnFamilyOptions options;
  options.write_buffer_size = size_t(traits.memtable_bytes);
  options.max_write_buffer_number = kMemtables;
  options.compression = rocksdb::kNoCompression;  // rows and caches do not compress; spans are packed already
  options.paranoid_file_checks = !traits.in_blobs;
  if (traits.in_blobs) {
    options.enable_blob_files = true;
    options.min_blob_size = 4096;
  }
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.cache_index_and_filter_blocks = true;  // so that the cache's bound covers them
  table.checksum = rocksdb::kXXH3;
  table.format_version = 5;  // the one that storage/disk/rocksdb_files/table_check.cc knows
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

// RocksDB starts a pool's thread when it first has work for it. If the system refuses, that must be here: in the midst
// of a write RocksDB could not bear it.
void start_threads(rocksdb::Env& env) {
  const auto nothing = [](void*) {};
  for (const auto pool : {rocksdb::Env::Priority::LOW, rocksdb::Env::Priority::HIGH})
    env.Schedule(nothing, nullptr, pool);
}

// What RocksDB had opened when it threw stays open until the process ends.
Result<rocksdb::Status> open_database(const rocksdb::DBOptions& options, const std::string& dir, Database::Mode mode,
                                      const std::vector<rocksdb::ColumnFamilyDescriptor>& families,
                                      std::vector<rocksdb::ColumnFamilyHandle*>& handles, rocksdb::DB*& db) {
  try {
    if (mode == Database::Mode::kRead) return rocksdb::DB::OpenForReadOnly(options, dir, families, &handles, &db);
    start_threads(*options.env);
    return rocksdb::DB::Open(options, dir, families, &handles, &db);
  } catch (...) {
    return exception_status();
  }
}

// The most memory that opening may take. A reader replays the log of a writer that died.
Result<int64_t> memory_bytes(const std::string& dir, Database::Mode mode, std::span<const Family> families) {
  int64_t bytes = Database::open_bytes(mode, families);
  if (mode != Database::Mode::kRead) return bytes;
  TRY_ASSIGN(const auto names, list_directory(dir));
  for (const std::string& name : names) {
    if (!name.ends_with(".log")) continue;
    TRY_ASSIGN(const int64_t log_bytes, file_bytes(dir + "/" + name));
    bytes += log_bytes;
  }
  return bytes;
}

// When opening, RocksDB passes on some read errors as invalid arguments.
bool is_read_error(const rocksdb::Status& status) {
  const std::string text = status.ToString();
  return status.IsInvalidArgument() &&
         (text.find("IO error") != std::string::npos || text.find("Direct I/O is not supported") != std::string::npos);
}

}  // namespace

int64_t Database::open_bytes(Mode mode, std::span<const Family> families) {
  int64_t bytes = kTableReaderBytes;
  if (mode == Mode::kRead) return bytes;
  for (const Family family : families) bytes += kMemtables * traits_of(family).memtable_bytes;
  return bytes;
}

std::shared_ptr<rocksdb::Cache> make_block_cache() { return rocksdb::NewLRUCache(size_t(kBlockCacheBytes), 0); }

Database::Database(const ContextTag& tag, Mode mode, const DatabaseShare& share, std::span<const Family> families)
    : tag_(tag), mode_(mode), share_(share), families_(families.begin(), families.end()) {}

Result<std::unique_ptr<Database>> Database::open(const std::string& dir, const ContextTag& tag, Mode mode,
                                                 const DatabaseShare& share, std::span<const Family> families) {
  std::unique_ptr<Database> made(new Database(tag, mode, share, families));
  TRY_ASSIGN(const int64_t bytes, memory_bytes(dir, mode, families));
  TRY_ASSIGN(made->memory_, Reservation::create(*share.account, MemoryCategory::kStore, bytes));
  std::vector<rocksdb::ColumnFamilyDescriptor> opened_families = {{rocksdb::kDefaultColumnFamilyName, {}}};
  for (const Family family : families) {
    opened_families.emplace_back(traits_of(family).name, family_options(family, share.block_cache));
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const rocksdb::DBOptions options = database_options(mode, *share.disk);
  TRY_ASSIGN(const rocksdb::Status opened, open_database(options, dir, mode, opened_families, handles, db));
  if (!system_refusal(opened).ok()) return made->status_of(opened, "opening");
  if (is_read_error(opened)) return Status{Code::kIo, fmt::format("{}: opening: {}", tag.text(), words_of(opened))};
  // An existing database that RocksDB calls invalid (a file or column family is gone) is damaged.
  if (opened.IsInvalidArgument() && mode != Mode::kCreate) {
    return Status{Code::kCorrupt, fmt::format("{}: cannot be opened: {}", tag.text(), opened.ToString())};
  }
  TRY(made->status_of(opened, "opening"));
  made->db_.reset(db);
  made->default_handle_ = handles[0];
  for (size_t i = 0; i < families.size(); ++i) made->handles_[size_t(families[i])] = handles[i + 1];
  return made;
}

Database::~Database() {
  if (db_ == nullptr) return;
  // Destroying a handle of an open database can fail only if it names the wrong database.
  for (const Family family : families_) (void)db_->DestroyColumnFamilyHandle(handle(family)).ok();
  (void)db_->DestroyColumnFamilyHandle(default_handle_).ok();
  (void)db_->Close().ok();
}

Status Database::status_of(const rocksdb::Status& status, const std::string& doing) const {
  if (status.ok()) return {};
  if (const Status refused = system_refusal(status); !refused.ok())
    return {refused.code, fmt::format("{}: {}: {}", tag_.text(), doing, refused.message)};
  Code code = Code::kInternal;
  if (status.IsCorruption() || status.IsNotSupported() || status.IsPathNotFound() || status.IsNotFound()) {
    code = Code::kCorrupt;
  } else if (status.IsNoSpace()) {
    code = Code::kNoSpace;
  } else if (status.IsIOError()) {
    code = Code::kIo;
  } else if (status.IsMemoryLimit()) {
    code = Code::kMemoryCap;
  }
  return {code, fmt::format("{}: {}: {}", tag_.text(), doing, words_of(status))};
}

// A value in a blob file is found through a small table. Once that table is verified, the frame protects the blob, for
// a reader whose files do not change: whatever is wrong with the blob or its place, the frame's checksum fails.
Result<Database::Checks> Database::verify_tables(Family family) const {
  if (mode_ != Mode::kRead) return Checks::kRocksdbAndFrame;
  rocksdb::ColumnFamilyMetaData found;
  db_->GetColumnFamilyMetaData(handle(family), &found);
  // Where values are small enough to stand in the tables themselves, reading those twice costs more than it saves.
  if (found.size > found.blob_file_size / 16) return Checks::kRocksdbAndFrame;
  const rocksdb::Options options(database_options(mode_, *share_.disk), family_options(family, share_.block_cache));
  for (const rocksdb::LevelMetaData& level : found.levels) {
    for (const rocksdb::SstFileMetaData& file : level.files) {
      rocksdb::SstFileReader table(options);
      TRY(status_of(table.Open(file.db_path + "/" + file.name), "opening a table"));
      TRY(status_of(table.VerifyChecksum(), "verifying a table"));
    }
  }
  return Checks::kFrame;
}

Result<BlockBatch> Database::read(Family family, schema::Kind kind, std::span<const uint64_t> blocks,
                                  Checks checks) const {
  BlockBatch batch;
  batch.values.resize(blocks.size());
  std::vector<std::string> keys;
  for (const uint64_t block : blocks) keys.push_back(schema::key_of(block));
  const std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
  std::vector<rocksdb::Status> statuses(blocks.size());
  rocksdb::ReadOptions options;
  options.verify_checksums = checks == Checks::kRocksdbAndFrame;
  // For blob files, the cache holds only the tables' blocks that say where the values are. Without them, each batch of
  // a scan would begin with a small read that queues behind the others' large ones.
  options.fill_cache = true;
  db_->MultiGet(options, handle(family), slices.size(), slices.data(), batch.values.data(), statuses.data());
  for (size_t i = 0; i < blocks.size(); ++i) {
    const std::string what = describe_block(kind, blocks[i]);
    if (statuses[i].IsNotFound()) return Status{Code::kCorrupt, fmt::format("{}: {} is missing", tag_.text(), what)};
    TRY(status_of(statuses[i], "reading " + what));
    const rocksdb::PinnableSlice& value = batch.values[i];
    TRY_ASSIGN(const auto payload, unframe_value(tag_, kind, blocks[i], {value.data(), value.size()}));
    batch.payloads.push_back(payload);
    bytes_read_ += int64_t(payload.size());
  }
  return batch;
}

Result<std::string> Database::read_one(Family family, schema::Kind kind, uint64_t block) const {
  TRY_ASSIGN(const BlockBatch batch, read(family, kind, {&block, 1}));
  const auto payload = batch.payloads[0];
  return std::string(reinterpret_cast<const char*>(payload.data()), payload.size());
}

int64_t Database::stored_bytes(Family family) const {
  using Properties = rocksdb::DB::Properties;
  int64_t sum = 0;
  for (const auto& property :
       {Properties::kTotalBlobFileSize, Properties::kTotalSstFilesSize, Properties::kSizeAllMemTables}) {
    uint64_t bytes = 0;
    if (db_->GetIntProperty(handle(family), property, &bytes)) sum += int64_t(bytes);
  }
  return sum;
}

Result<std::vector<LiveFile>> Database::live_files(const std::string& dir) const {
  auto files = list_live_files(*db_, dir);
  if (files.ok()) return files;
  return Status{files.status().code, fmt::format("{}: {}", tag_.text(), files.status().message)};
}

Result<LiveFile> Database::version_log() const {
  std::vector<std::string> names;
  uint64_t manifest_bytes = 0;
  TRY(status_of(db_->GetLiveFiles(names, &manifest_bytes, /*flush_memtable=*/false), "looking at its files"));
  for (const std::string& name : names) {
    if (name.starts_with("/MANIFEST-")) return LiveFile{name.substr(1), int64_t(manifest_bytes), ""};
  }
  return Status{Code::kInternal, tag_.text() + ": RocksDB names no MANIFEST"};
}

Result<bool> Database::any_key_in(Family family, uint64_t begin, uint64_t end) const {
  const std::string first = schema::key_of(begin), limit = schema::key_of(end);
  const rocksdb::Slice bound(limit);
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &bound;
  const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options, handle(family)));
  it->Seek(first);
  if (it->Valid()) return true;
  TRY(status_of(it->status(), "looking for leftovers"));
  return false;
}

void Database::put(rocksdb::WriteBatch& batch, Family family, schema::Kind kind, uint64_t block,
                   std::span<const std::byte> payload, uint16_t version) const {
  // A batch refuses only what does not fit into memory.
  CHECK(batch.Put(handle(family), schema::key_of(block), frame_value(tag_.id, kind, block, payload, version)).ok());
}

void Database::erase(rocksdb::WriteBatch& batch, Family family, uint64_t begin, uint64_t end) const {
  CHECK(batch.DeleteRange(handle(family), schema::key_of(begin), schema::key_of(end)).ok());
}

Status Database::write(rocksdb::WriteBatch& batch, Durability durability) {
  rocksdb::WriteOptions options;
  options.sync = durability == Durability::kSynced;
  options.disableWAL = durability == Durability::kUnlogged;
  return status_of(db_->Write(options, &batch), "writing");
}

Status Database::flush(std::span<const Family> families) {
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  for (const Family family : families) handles.push_back(handle(family));
  return status_of(db_->Flush(rocksdb::FlushOptions(), handles), "flushing");
}

Status Database::compact(Family family, const std::function<bool(int64_t bytes)>& may_grow) {
  rocksdb::CompactRangeOptions options;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  TRY(status_of(db_->CompactRange(options, handle(family), nullptr, nullptr), "compacting"));
  // Blob files that are all garbage are gone by now. The others are rewritten if over 1/64 of them is garbage.
  uint64_t garbage = 0, total = 0;
  db_->GetIntProperty(handle(family), rocksdb::DB::Properties::kLiveBlobFileGarbageSize, &garbage);
  db_->GetIntProperty(handle(family), rocksdb::DB::Properties::kLiveBlobFileSize, &total);
  if (garbage * 64 <= total || !may_grow(int64_t(total))) return {};
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
  options.blob_garbage_collection_policy = rocksdb::BlobGarbageCollectionPolicy::kForce;
  options.blob_garbage_collection_age_cutoff = 1.0;
  return status_of(db_->CompactRange(options, handle(family), nullptr, nullptr), "compacting");
}

}  // namespace reform
