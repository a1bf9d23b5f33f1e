// How much of the disk the store may take, and which context may grow by how much.
//
// The cap belongs to the store (limits.json), so it holds for every process. Before a writer lets its context grow, it
// *claims* how large the context's directory may become, and notes that ceiling in the context's lock file. The claim
// lives as long as the lock, so a writer that dies leaves none. Claims are made under locks/space, one after another,
// so that what all files take, or may yet take by claims, never passes the cap. Between claims the metered file system
// holds each context below its ceiling.
//
// Bytes are those of every file and directory in the store: size or allocated blocks, whichever is more.
// Locks are taken in this order: a meter's, locks/space, locks/store, a context's.
// Thread-safety: Space from any thread; a claim belongs to its writer.
#pragma once

#include <reform/status.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "storage/disk/disk.h"
#include "storage/disk/file_lock.h"
#include "storage/limits/growth.h"
#include "storage/limits/metered_files.h"
#include "storage/limits/store_limit.h"

namespace reform {

// How many bytes a writer needs beyond what the cap leaves.
struct Shortage {
  int64_t lacking_bytes = 0;  // now
  int64_t later_bytes = 0;    // later, in addition
  int64_t taken_bytes = 0;    // by everything that is there or claimed
  std::string id;             // the writer's context; "": none in particular
  StoreLimit limit;
  bool only_asks = false;  // whether the room could be made; nothing is removed
};

class SpaceClaim;

class Space : public std::enable_shared_from_this<Space> {
 public:
  static constexpr int64_t kNoEviction = -1;
  // Frees what is lacking now, if what it may free is enough for later, too. Else kNoSpace, and it frees nothing. It is
  // called under locks/space.
  using Evict = std::function<Status(const Shortage&)>;

  Space(std::string store_dir, std::shared_ptr<const Disk> disk);

  // The disk for the store's databases. Writes are metered where there is a claim.
  const std::shared_ptr<const Disk>& disk() const { return metered_disk_; }
  void set_evict(Evict evict) { evict_ = std::move(evict); }

  Result<StoreLimit> limit() const;  // the current one: another process may change it
  Status set_limit(const StoreLimit& limit);
  int64_t used_bytes() const;
  // Held while a context moves from trash/ to contexts/, where it could otherwise be counted in neither.
  Result<FileLock> hold_still() const { return FileLock::wait(lock_path("space")); }

  // kNoSpace if the store is over its cap, and evicting contexts may not or cannot change that. It evicts none: the
  // first claim does. `id`: the context that is to be written.
  Status check_limit(const std::string& id);
  // Runs write(), which writes at most `bytes` outside of any claim (a small file of ours).
  Status write_small(int64_t bytes, const std::function<Status()>& write);
  // For the writer of `id`, which holds its lock. Nothing is claimed yet.
  std::shared_ptr<SpaceClaim> open_claim(const std::string& id);

 private:
  friend class SpaceClaim;

  std::string lock_path(const std::string& id) const { return dir_ + "/locks/" + id; }
  int64_t context_bytes(const std::string& id) const;
  // What everything but `id` takes, claims included.
  Result<int64_t> taken_bytes(const std::string& id) const;
  // Lets `id` take `ceiling` bytes and notes that. Returns the ceiling, or kNoCeiling if there is no cap. kNoSpace.
  // kBusy while there is a writer that knows of no cap. later_bytes: what evictions must leave room for in addition;
  // kNoEviction: there are none.
  Result<int64_t> grant(const std::string& id, int64_t ceiling, int64_t later_bytes);

  const std::string dir_;
  const std::shared_ptr<const Disk> disk_;
  std::shared_ptr<MeteredFileSystem> metered_;
  std::shared_ptr<const Disk> metered_disk_;
  Evict evict_;
};

// A writer's claim. It must outlive the writer's database, as RocksDB may write until it is closed.
class SpaceClaim {
 public:
  SpaceClaim(std::shared_ptr<Space> space, std::string id);
  ~SpaceClaim();
  SpaceClaim(const SpaceClaim&) = delete;
  SpaceClaim& operator=(const SpaceClaim&) = delete;

  // Claims room for what is next, a part of what was planned. kNoSpace says what is in the way; the earlier claim
  // stays.
  Status ensure(const Growth& growth);
  // The same for a longer stretch. It also gives back what is no longer needed, and asks whether the disk has the
  // bytes.
  Status plan(const Growth& growth);
  // The same, for a context that is still to be made, or opened.
  Status plan_opening(const Growth& growth);
  // Whether `bytes` more are free below the cap. For work that is not worth the loss of a context.
  bool ensure_free(int64_t bytes);

 private:
  int64_t growth_bytes(const Growth& growth) const;
  Status check_disk(int64_t growth) const;
  Status plan(const Growth& growth, int64_t more_bytes, std::chrono::milliseconds patience);
  // Moves the ceiling to what is there and `growth` more. Waits for RocksDB's pending deletions before any context is
  // evicted.
  Status move_ceiling(int64_t growth, bool may_lower, int64_t later_bytes, std::chrono::milliseconds patience);

  const std::shared_ptr<Space> space_;
  const std::string id_;
  const std::shared_ptr<Meter> meter_;
  int64_t later_bytes_ = 0;  // as planned
};

}  // namespace reform
