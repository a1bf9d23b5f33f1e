// File systems that a test puts under a store: one measures the store at every write, one has limited room,
// one cannot move contexts.
#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "storage/disk/disk.h"

namespace reform::test {

// What `du` says of everything below dir: the sum of sizes, and of allocated blocks.
struct DiskUse {
  int64_t size_bytes = 0, block_bytes = 0;
  int64_t most() const { return size_bytes > block_bytes ? size_bytes : block_bytes; }
};
DiskUse disk_use(const std::string& path);

// Wraps every operation that makes files grow or go. `before` may refuse it; `after` learns that it is done.
class HookedFileSystem : public rocksdb::FileSystemWrapper {
 public:
  HookedFileSystem() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  static const char* kClassName() { return "reform.test.HookedFileSystem"; }
  const char* Name() const override { return kClassName(); }
  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* dbg) override;

  rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* dbg) override;

  // Held from before() to after().
  virtual std::unique_lock<std::mutex> enter() { return {}; }
  virtual rocksdb::IOStatus before_append(const std::string& /*path*/, int64_t /*bytes*/) {
    return rocksdb::IOStatus::OK();
  }
  virtual rocksdb::IOStatus before_sync(const std::string& /*path*/) { return rocksdb::IOStatus::OK(); }
  virtual void after_write() {}
};

// Remembers the most that was ever below `dir`. One operation runs at a time, so that a measurement never counts both a
// file that went and one that came after it.
class WatchedFileSystem final : public HookedFileSystem {
 public:
  explicit WatchedFileSystem(std::string dir) : dir_(std::move(dir)) {}
  std::unique_lock<std::mutex> enter() override { return std::unique_lock(mutex_); }
  void after_write() override;
  int64_t most_bytes() const { return most_bytes_; }

 private:
  const std::string dir_;
  std::mutex mutex_;
  std::atomic<int64_t> most_bytes_ = 0;
};

// Says "no space" once what is below `dir` would pass `room_bytes`, or at the sync after `syncs_left` more (where
// blocks are allocated late, a full disk shows only then). Room may be added later.
class SmallDisk final : public HookedFileSystem {
 public:
  explicit SmallDisk(std::string dir) : dir_(std::move(dir)) {}
  rocksdb::IOStatus before_append(const std::string& path, int64_t bytes) override;
  rocksdb::IOStatus before_sync(const std::string& path) override;

  std::atomic<int64_t> room_bytes = INT64_MAX;
  std::atomic<int64_t> syncs_left = INT64_MAX;
  std::atomic<int64_t> n_refused = 0;

 private:
  const std::string dir_;
};

// Refuses to move contexts out, as overlayfs does with those of a lower layer.
class UnmovingDisk final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  static const char* kClassName() { return "reform.test.UnmovingDisk"; }
  const char* Name() const override { return kClassName(); }
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* dbg) override;
};

}  // namespace reform::test
