// How much of the disk the store may take, and who may grow by how much.
//
// The cap is the store's (limits.json), so it holds for every process. Before it grows a context, its writer *claims*
// how large the context's directory may become, and notes that ceiling in the context's lock file; the claim lives as
// long as the lock, so a writer that died leaves none. Claims are made under locks/space, one after the other: what all
// files take, or may come to take by claims, never passes the cap. Between claims the metered file system holds each
// context below its ceiling.
//
// Bytes are those of every file and directory in the store: size or allocated blocks, whichever is more.
// Locks are taken in this order: a meter's, locks/space, locks/store, a context's.
// Thread-safety: Space from any thread; a claim as its writer.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "storage/disk/disk.h"
#include "storage/disk/file_lock.h"
#include "storage/limits/metered_files.h"
#include "storage/limits/store_limit.h"

namespace reform {

// What a writer is about to write, without the files' own overhead.
struct Growth {
  int64_t chunk_bytes = 0;       // rows, spans, state
  int64_t checkpoint_bytes = 0;  // its parts
};

// How many bytes a writer needs more than the cap leaves.
struct Shortage {
  int64_t lacking_bytes = 0;
  int64_t taken_bytes = 0;  // by everything that is there or claimed
  std::string id;           // of the writer; "": none in particular
  StoreLimit limit;
};

class SpaceClaim;

class Space : public std::enable_shared_from_this<Space> {
 public:
  // Frees what it may. Where that is not enough it frees nothing: kNoSpace. Called under locks/space.
  using Evict = std::function<Status(const Shortage&)>;

  Space(std::string store_dir, std::shared_ptr<const Disk> disk);

  // The disk, its writes metered where there is a claim. For the store's databases.
  const std::shared_ptr<const Disk>& disk() const { return metered_disk_; }
  void set_evict(Evict evict) { evict_ = std::move(evict); }

  Result<StoreLimit> limit() const;  // of now: another process may change it
  Status set_limit(const StoreLimit& limit);
  int64_t used_bytes() const;
  // Held while a context moves from trash/ to contexts/: it could be counted in neither.
  Result<FileLock> hold_still() const { return FileLock::wait(lock_path("space")); }

  // Makes everything fit below the cap; kNoSpace if it cannot. `id`: who wants to write.
  Status keep_limit(const std::string& id);
  // Runs write(), which writes at most `bytes` outside of any claim (a small file of ours).
  Status write_small(int64_t bytes, const std::function<Status()>& write);
  // For the writer of `id`, which holds its lock. Nothing is claimed yet.
  std::shared_ptr<SpaceClaim> open_claim(const std::string& id);

 private:
  friend class SpaceClaim;
  enum class Eviction { kAllowed, kNever };

  std::string lock_path(const std::string& id) const { return dir_ + "/locks/" + id; }
  int64_t context_bytes(const std::string& id) const;
  // Of everything but `id`, claims included.
  Result<int64_t> taken_bytes(const std::string& id) const;
  // Lets `id` take `ceiling` bytes and notes that: the ceiling, or kNoCeiling where there is no cap. kNoSpace; kBusy
  // while somebody writes who knows of no cap.
  Result<int64_t> grant(const std::string& id, int64_t ceiling, Eviction eviction);

  const std::string dir_;
  const std::shared_ptr<const Disk> disk_;
  std::shared_ptr<MeteredFileSystem> metered_;
  std::shared_ptr<const Disk> metered_disk_;
  Evict evict_;
};

// A writer's. Outlives its database: RocksDB may write until it is closed.
class SpaceClaim {
 public:
  SpaceClaim(std::shared_ptr<Space> space, std::string id);
  ~SpaceClaim();
  SpaceClaim(const SpaceClaim&) = delete;
  SpaceClaim& operator=(const SpaceClaim&) = delete;

  // Claims that so much more may be written. kNoSpace says what is in the way; what was claimed before stays claimed.
  Status ensure(const Growth& growth);
  // The same for a longer stretch: gives back what was claimed and is no longer needed, and asks the disk for the
  // bytes, too.
  Status plan(const Growth& growth);
  // From now on no context is evicted for this claim.
  void spare_contexts() { eviction_ = Space::Eviction::kNever; }
  // Whether `bytes` more are free below the cap: for work that is not worth the loss of a context.
  bool ensure_free(int64_t bytes);

 private:
  int64_t growth_bytes(const Growth& growth) const;
  Status check_disk(int64_t growth) const;
  // Moves the ceiling to what is there and `growth` more.
  Status move_ceiling(int64_t growth, bool may_lower, Space::Eviction eviction);

  const std::shared_ptr<Space> space_;
  const std::string id_;
  const std::shared_ptr<Meter> meter_;
  Space::Eviction eviction_ = Space::Eviction::kAllowed;
};

}  // namespace reform
