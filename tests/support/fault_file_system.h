// A file system over another one that fails on demand: at the n-th sync the power is lost, or the n-th read or write
// fails.
//
//   auto faults = std::make_shared<FaultFileSystem>(base, root, seed);
//   faults->arm({.lose_power_at_sync = 7});
//   …from that sync on every call fails; close everything…
//   if (faults->lost_power()) faults->restore_power();   // the tree below root is now what the disk kept
//
// Only what is below `root` is modelled. Thread-safety: any thread; but call arm() and restore_power() only while
// nothing uses the file system.
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
  kShort,    // half is done: a write then fails with ENOSPC; a read at an offset ends as at the file's end
};

// Calls are counted from 1, beginning at arm(); 0: never.
struct FaultPlan {
  int64_t lose_power_at_sync = 0;  // syncs of files and directories alike
  int64_t fail_read = 0;           // reading data, or opening a file to read it
  int64_t fail_write = 0;          // writing data; making, renaming or cutting files and directories; syncs
  Failure failure = Failure::kIo;
  bool from_then_on = false;  // all later calls fail too, not only this one
  // Syncs of these paths report success and do nothing.
  std::function<bool(const std::string& path)> swallows_sync;
};

struct FaultCounts {
  int64_t syncs = 0, reads = 0, writes = 0;
  int64_t failures = 0;  // calls that failed on purpose or because the power was lost
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
  // Call it when nothing uses the file system any more.
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
