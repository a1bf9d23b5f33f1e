// A file system that fails on demand, over any other: the power goes at the n-th sync, or the n-th read or write fails.
//
//   auto faults = std::make_shared<FaultFileSystem>(base, root, seed);
//   faults->arm({.lose_power_at_sync = 7});
//   …everything on it fails once that sync is asked for; close it all…
//   if (faults->lost_power()) faults->restore_power();   // the tree below root is now what the disk kept
//
// Only what lies below `root` is modelled. Thread-safety: from any thread; arm() and restore_power() while nothing
// runs.
#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace reform::test {

enum class Failure {
  kIo,       // EIO
  kNoSpace,  // ENOSPC: writes only
  kShort,    // half of it done: a write then fails for want of space, a read at a place ends as if the file did
};

// Calls are counted from 1, from arm() on; 0 is never.
struct FaultPlan {
  int64_t lose_power_at_sync = 0;  // syncs of files and directories alike
  int64_t fail_read = 0;           // of data, or a file's opening for it
  int64_t fail_write = 0;          // of data; files and directories made, renamed, cut; syncs
  Failure failure = Failure::kIo;
  bool from_then_on = false;  // else once
  // Such syncs are said to be done and are not.
  std::function<bool(const std::string& path)> swallows_sync;
};

struct FaultCounts {
  int64_t syncs = 0, reads = 0, writes = 0;
  int64_t failures = 0;  // calls failed on purpose, or the power lost
  int64_t swallowed = 0;
};

class FaultFileSystem : public rocksdb::FileSystemWrapper {
 public:
  // What is below `root`, a directory, counts as synced.
  FaultFileSystem(const std::shared_ptr<rocksdb::FileSystem>& base, const std::string& root, uint64_t seed);
  ~FaultFileSystem() override;
  static const char* kClassName() { return "FaultFileSystem"; }
  const char* Name() const override { return kClassName(); }

  void arm(FaultPlan plan);
  FaultCounts counts() const;
  bool lost_power() const;
  // Once nothing uses the file system any more.
  void restore_power();

  using IOStatus = rocksdb::IOStatus;
  using IOOptions = rocksdb::IOOptions;
  using FileOptions = rocksdb::FileOptions;
  using Debug = rocksdb::IODebugContext;
  IOStatus NewSequentialFile(const std::string& path, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* file, Debug* debug) override;
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions& options,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* file, Debug* debug) override;
  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file, Debug* debug) override;
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* file, Debug* debug) override;
  IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSWritableFile>* file, Debug* debug) override;
  IOStatus NewRandomRWFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSRandomRWFile>* file, Debug* debug) override;
  IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* directory, Debug* debug) override;
  IOStatus FileExists(const std::string& path, const IOOptions& options, Debug* debug) override;
  IOStatus GetChildren(const std::string& path, const IOOptions& options, std::vector<std::string>* names,
                       Debug* debug) override;
  IOStatus GetFileSize(const std::string& path, const IOOptions& options, uint64_t* bytes, Debug* debug) override;
  IOStatus DeleteFile(const std::string& path, const IOOptions& options, Debug* debug) override;
  IOStatus DeleteDir(const std::string& path, const IOOptions& options, Debug* debug) override;
  IOStatus Truncate(const std::string& path, size_t bytes, const IOOptions& options, Debug* debug) override;
  IOStatus CreateDir(const std::string& path, const IOOptions& options, Debug* debug) override;
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions& options, Debug* debug) override;
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options, Debug* debug) override;
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions& options, Debug* debug) override;
  IOStatus LockFile(const std::string& path, const IOOptions& options, rocksdb::FileLock** lock, Debug* debug) override;

  class State;  // what the file system and its open files share

 private:
  std::shared_ptr<State> state_;
};

}  // namespace reform::test
