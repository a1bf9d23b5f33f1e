#include "storage/limits/space.h"

#include <fmt/format.h>
#include <reform/units.h>
#include <rocksdb/file_system.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "base/try.h"
#include "storage/disk/checked_json.h"
#include "storage/disk/file_lock.h"
#include "storage/disk/files.h"
#include "storage/limits/use_record.h"

namespace reform {
namespace {

constexpr const char* kUnlimited = "unlimited";
// Kept below the cap for what nobody claims: lock files, and directories that grow with the names in them.
constexpr int64_t kHousekeepingBytes = 64 * kKiB;
// The part of a context's ceiling that is for its use.json, which others write.
constexpr int64_t kUseBytes = 16 * kKiB;
// RocksDB's own files beside logs, tables and blobs (manifest, options), and the unused ends of blocks: at most so much
// altogether. The least is for what may still come, however much is there.
constexpr int64_t kOverheadBytes = 2 * kMiB, kLeastOverheadBytes = 1 * kMiB;
// What making or opening a context writes at once: manifest, options, a log, the ledger. Measured: 84 KiB for a new
// one.
constexpr int64_t kOpeningBytes = 96 * kKiB;
// A ceiling that was too low is raised by more than one write needs.
constexpr int64_t kRaiseBytes = 1 * kMiB;
// How long to wait, as RocksDB deletes what it has replaced a moment after it says so.
constexpr std::chrono::milliseconds kSettling{100}, kStep{10};

// The part of a grant that the writer itself may use.
int64_t own_part(int64_t granted) { return granted == Meter::kNoCeiling ? granted : granted - kUseBytes; }

std::string limits_path(const std::string& store_dir) { return store_dir + "/limits.json"; }

}  // namespace

Space::Space(std::string store_dir, std::shared_ptr<const Disk> disk)
    : dir_(std::move(store_dir)),
      disk_(std::move(disk)),
      metered_(std::make_shared<MeteredFileSystem>(std::shared_ptr<rocksdb::FileSystem>(disk_, &disk_->files()), dir_,
                                                   block_bytes_at(dir_))),
      metered_disk_(disk_->with_files(metered_)) {}

Result<StoreLimit> Space::limit() const {
  const std::string path = limits_path(dir_);
  auto read = read_checked_json(*disk_, path);
  if (read.status().code == Code::kNotFound) return StoreLimit{};
  StoreLimit limit;
  try {
    TRY(read);
    limit.max_bytes = read.value().at("max_store_bytes").get<int64_t>();
    limit.evict = read.value().at("when_full").get<std::string>() == "evict";
    if (limit.max_bytes >= 0) return limit;
  } catch (const nlohmann::json::exception&) {
  }
  return Status{Code::kCorrupt, path + ": is damaged, and no context is; set the cap again (ingest --max-store-bytes)"};
}

Status Space::set_limit(const StoreLimit& limit) {
  TRY_ASSIGN(const auto guard, FileLock::wait(lock_path("space")));
  return write_checked_json(*disk_, limits_path(dir_),
                            {{"max_store_bytes", limit.max_bytes}, {"when_full", limit.evict ? "evict" : "stop"}});
}

int64_t Space::used_bytes() const { return tree_bytes(dir_); }

int64_t Space::context_bytes(const std::string& id) const {
  return tree_bytes(dir_ + "/contexts/" + id) + tree_bytes(dir_ + "/trash/" + id);
}

Result<int64_t> Space::taken_bytes(const std::string& id) const {
  int64_t bytes = used_bytes() + kHousekeepingBytes;
  if (!id.empty()) bytes -= context_bytes(id);
  TRY_ASSIGN(const auto contexts, list_directory(dir_ + "/contexts"));
  bytes += int64_t(contexts.size()) * kUseRecordBytes;
  // Lists locks, since a writer has its lock before it has any file.
  TRY_ASSIGN(const auto locks, list_directory(dir_ + "/locks"));
  for (const std::string& other : locks) {
    if (other == id || other == "space" || other == "store") continue;
    TRY_ASSIGN(const auto note, FileLock::holder_note(lock_path(other)));
    if (!note || note->empty()) continue;  // no writer, or one that has claimed nothing yet
    if (*note == kUnlimited) {
      return Status{Code::kBusy, fmt::format("the cap on {} cannot hold yet: a process that began before it was set is "
                                             "still writing there; wait until it has stopped",
                                             dir_)};
    }
    int64_t ceiling = 0;
    std::from_chars(note->data(), note->data() + note->size(), ceiling);
    bytes += std::max(int64_t{0}, ceiling - context_bytes(other));
  }
  return bytes;
}

Result<int64_t> Space::grant(const std::string& id, int64_t ceiling, int64_t later_bytes) {
  TRY_ASSIGN(const auto guard, FileLock::wait(lock_path("space")));
  TRY_ASSIGN(const StoreLimit limit, this->limit());
  if (limit.max_bytes == 0) {
    TRY(FileLock::leave_note(lock_path(id), kUnlimited));
    return Meter::kNoCeiling;
  }
  for (bool again = true;; again = false) {
    TRY_ASSIGN(const int64_t others, taken_bytes(id));
    const int64_t lacking = others + ceiling - limit.max_bytes;
    if (lacking <= 0) {
      TRY(FileLock::leave_note(lock_path(id), std::to_string(ceiling)));
      return ceiling;
    }
    const int64_t here = context_bytes(id), taken = others - kHousekeepingBytes + here;
    const Status full{Code::kNoSpace, fmt::format("the store {} has {} of the {} that it may take, and {} more are "
                                                  "needed now; remove contexts, or raise --max-store-bytes",
                                                  dir_, format_bytes(taken), format_bytes(limit.max_bytes),
                                                  format_bytes(ceiling - here + kHousekeepingBytes))};
    if (!again || later_bytes == kNoEviction || !evict_) return full;
    TRY(evict_({lacking, later_bytes, taken, id, limit}));
  }
}

Status Space::check_limit(const std::string& id) {
  TRY_ASSIGN(StoreLimit limit, this->limit());
  if (limit.max_bytes == 0) return {};
  TRY_ASSIGN(const auto guard, FileLock::wait(lock_path("space")));
  TRY_ASSIGN(limit, this->limit());  // another may just have changed it
  TRY_ASSIGN(const int64_t taken, taken_bytes(""));
  if (taken <= limit.max_bytes || !evict_) return {};
  return evict_({taken - limit.max_bytes, 0, taken - kHousekeepingBytes, id, limit, /*only_asks=*/true});
}

Status Space::write_small(int64_t bytes, const std::function<Status()>& write) {
  TRY_ASSIGN(StoreLimit limit, this->limit());
  if (limit.max_bytes == 0) return write();
  TRY_ASSIGN(const auto guard, FileLock::wait(lock_path("space")));
  TRY_ASSIGN(const int64_t taken, taken_bytes(""));
  if (taken + bytes > limit.max_bytes) return {Code::kNoSpace, fmt::format("{} is at its cap", dir_)};
  return write();
}

std::shared_ptr<SpaceClaim> Space::open_claim(const std::string& id) {
  return std::make_shared<SpaceClaim>(shared_from_this(), id);
}

SpaceClaim::SpaceClaim(std::shared_ptr<Space> space, std::string id)
    : space_(std::move(space)),
      id_(std::move(id)),
      meter_(std::make_shared<Meter>([space = space_.get(), id = id_] { return space->context_bytes(id); },
                                     [space = space_.get(), id = id_](int64_t ceiling, int64_t bytes, int64_t wanted) {
                                       for (const int64_t spare : {kRaiseBytes, int64_t{0}}) {
                                         const auto granted =
                                             space->grant(id, bytes + wanted + spare + kUseBytes, Space::kNoEviction);
                                         if (granted.ok()) return own_part(granted.value());
                                       }
                                       return ceiling;
                                     })) {
  space_->metered_->add(id_, meter_);
}

SpaceClaim::~SpaceClaim() { space_->metered_->remove(id_); }

// Everything logged may be written once more as tables before its log goes, and any table may be merged into another.
int64_t SpaceClaim::growth_bytes(const Growth& growth) const {
  int64_t logs_and_tables = 0, overhead = 0;
  for (const char* place : {"/contexts/", "/trash/"}) {
    const std::string dir = space_->dir_ + place + id_;
    const auto names = list_directory(dir);
    if (!names.ok()) continue;
    for (const std::string& name : names.value()) {
      const bool is_blob = name.ends_with(".blob"), is_rewritten = name.ends_with(".log") || name.ends_with(".sst");
      if (!is_blob) (is_rewritten ? logs_and_tables : overhead) += tree_bytes(dir + "/" + name);
    }
  }
  return 2 * growth.chunk_bytes + growth.checkpoint_bytes + growth.checkpoint_bytes / 256 + logs_and_tables +
         std::max(kLeastOverheadBytes, kOverheadBytes - overhead);
}

Status SpaceClaim::check_disk(int64_t growth) const {
  uint64_t free_bytes = 0;
  const auto asked = space_->disk_->files().GetFreeSpace(space_->dir_, {}, &free_bytes, nullptr);
  if (!asked.ok() || free_bytes >= uint64_t(growth)) return {};
  return {Code::kNoSpace, fmt::format("the disk of {} is full: {} are free, and {} may be needed now", space_->dir_,
                                      format_bytes(int64_t(free_bytes)), format_bytes_up(growth))};
}

Status SpaceClaim::move_ceiling(int64_t growth, bool may_lower, int64_t later_bytes,
                                std::chrono::milliseconds patience) {
  TRY_ASSIGN(const StoreLimit limit, space_->limit());
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    const bool last = std::chrono::steady_clock::now() >= deadline;
    Status moved;
    meter_->adjust([&](int64_t ceiling, int64_t bytes, int64_t) {
      const bool unlimited = ceiling == Meter::kNoCeiling;
      if (unlimited ? limit.max_bytes == 0 : !may_lower && bytes + growth <= ceiling) return ceiling;
      const auto granted = space_->grant(id_, bytes + growth + kUseBytes, last ? later_bytes : Space::kNoEviction);
      moved = granted.status();
      return granted.ok() ? own_part(granted.value()) : ceiling;
    });
    if (last || moved.ok() || (moved.code != Code::kNoSpace && moved.code != Code::kBusy)) return moved;
    std::this_thread::sleep_for(kStep);
  }
}

Status SpaceClaim::ensure(const Growth& growth) {
  return move_ceiling(growth_bytes(growth), /*may_lower=*/false, later_bytes_, kSettling);
}

Status SpaceClaim::plan(const Growth& growth, int64_t more_bytes, std::chrono::milliseconds patience) {
  const int64_t bytes = growth_bytes(growth) + more_bytes;
  TRY(check_disk(bytes));
  later_bytes_ = growth.may_evict ? growth.later_bytes : Space::kNoEviction;
  return move_ceiling(bytes, /*may_lower=*/true, later_bytes_, patience);
}

Status SpaceClaim::plan(const Growth& growth) { return plan(growth, 0, kSettling); }

// Its database is not open yet, so no deletion is pending.
Status SpaceClaim::plan_opening(const Growth& growth) { return plan(growth, kOpeningBytes, {}); }

bool SpaceClaim::ensure_free(int64_t bytes) {
  return move_ceiling(bytes, /*may_lower=*/false, Space::kNoEviction, kSettling).ok();
}

}  // namespace reform
