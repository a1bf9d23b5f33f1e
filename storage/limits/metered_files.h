// A file system that lets a context grow only as far as its writer has claimed (storage/limits/space.h). Whatever
// RocksDB does in between, a write that would pass the claim is refused as on a full disk.
#pragma once

#include <rocksdb/file_system.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace reform {

// What one context takes on the disk. It counts up with each write. When that passes the ceiling, it measures the disk
// afresh, which shows what was deleted meanwhile. Thread-safe, as RocksDB's threads write at the same time.
class Meter {
 public:
  static constexpr int64_t kNoCeiling = INT64_MAX;
  // Returns the new ceiling. Arguments: the current ceiling, the bytes measured afresh, and the bytes to be written (or
  // 0).
  using SetCeiling = std::function<int64_t(int64_t ceiling, int64_t bytes, int64_t wanted_bytes)>;

  // `measure` gives the bytes on the disk now. `raise` is called under the meter's lock before a write is refused.
  Meter(std::function<int64_t()> measure, SetCeiling raise) : measure_(std::move(measure)), raise_(std::move(raise)) {}
  // Calls set() under the meter's lock, so nothing is written meanwhile.
  void adjust(const SetCeiling& set);
  // Whether `bytes` more may be written. If so, landed() must follow once they are written.
  bool admit(int64_t bytes);
  void landed(int64_t bytes);

 private:
  const std::function<int64_t()> measure_;
  const SetCeiling raise_;
  std::mutex mutex_;
  int64_t ceiling_ = 0;
  int64_t bytes_ = 0;      // at most this many are on the disk or on their way
  int64_t in_flight_ = 0;  // those on their way; the disk may not show them yet
};

class MeteredFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  // Meters files in `<store_dir>/contexts/<id>/` and `<store_dir>/trash/<id>/` while meter `id` is there. Files count
  // in whole blocks of block_bytes.
  MeteredFileSystem(const std::shared_ptr<rocksdb::FileSystem>& target, const std::string& store_dir,
                    int64_t block_bytes);

  static const char* kClassName() { return "reform.MeteredFileSystem"; }
  const char* Name() const override { return kClassName(); }

  void add(const std::string& id, std::shared_ptr<Meter> meter);
  void remove(const std::string& id);

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* dbg) override;
  rocksdb::IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* file,
                                       rocksdb::IODebugContext* dbg) override;
  rocksdb::IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                                      const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* dbg) override;

 private:
  std::shared_ptr<Meter> meter_of(const std::string& path);
  void wrap(const std::string& path, int64_t size, std::unique_ptr<rocksdb::FSWritableFile>* file);

  const std::string contexts_, trash_;
  const int64_t block_bytes_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Meter>> meters_;  // by context id
};

}  // namespace reform
