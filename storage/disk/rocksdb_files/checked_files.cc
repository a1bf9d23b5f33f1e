#include "storage/disk/rocksdb_files/checked_files.h"

#include <rocksdb/file_system.h>

#include <algorithm>
#include <filesystem>

#include "storage/disk/disk.h"
#include "storage/disk/ledger.h"
#include "storage/disk/rocksdb_files/table_check.h"
#include "storage/disk/rocksdb_files/version_log.h"

namespace reform {
namespace {

namespace fs = std::filesystem;
using rocksdb::IOStatus;

class BytesFile final : public rocksdb::FSSequentialFile {
 public:
  explicit BytesFile(std::string bytes) : bytes_(std::move(bytes)) {}
  IOStatus Read(size_t n, const rocksdb::IOOptions&, rocksdb::Slice* result, char* scratch,
                rocksdb::IODebugContext*) override {
    const size_t n_read = std::min(n, bytes_.size() - at_);
    bytes_.copy(scratch, n_read, at_);
    at_ += n_read;
    *result = {scratch, n_read};
    return IOStatus::OK();
  }
  IOStatus Skip(uint64_t n) override {
    at_ += size_t(std::min<uint64_t>(n, bytes_.size() - at_));
    return IOStatus::OK();
  }

 private:
  const std::string bytes_;
  size_t at_ = 0;
};

bool is_version_log(const std::string& path) { return fs::path(path).filename().string().starts_with("MANIFEST-"); }

// As the ledger beside it says.
uint64_t synced_log_bytes_of(const std::shared_ptr<rocksdb::FileSystem>& files, const fs::path& path) {
  const auto ledger = read_ledger(Disk(files), path.parent_path().string());
  return ledger.ok() ? synced_log_bytes(ledger.value(), path.filename().string()) : UINT64_MAX;
}

class CheckedFiles final : public rocksdb::FileSystemWrapper {
 public:
  explicit CheckedFiles(const std::shared_ptr<rocksdb::FileSystem>& files) : FileSystemWrapper(files), files_(files) {}
  static const char* kClassName() { return "reform.CheckedFiles"; }
  const char* Name() const override { return kClassName(); }

  IOStatus NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions& options,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                               rocksdb::IODebugContext* dbg) override {
    if (path.ends_with(".sst")) {
      const Status checked = check_table_properties(*target(), path);
      // RocksDB's own opening reports any other error.
      if (checked.code == Code::kCorrupt) return IOStatus::Corruption(path, checked.message);
    }
    return FileSystemWrapper::NewRandomAccessFile(path, options, file, dbg);
  }

  IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* file, rocksdb::IODebugContext* dbg) override {
    IOStatus status = FileSystemWrapper::NewSequentialFile(path, options, file, dbg);
    if (!status.ok() || !is_version_log(path)) return status;
    std::string log;
    status = read_small(**file, log);
    file->reset();
    if (!status.ok()) return status;
    if (log.size() > kSmallFileBytes) return IOStatus::Corruption(path, "larger than it can be");
    // The ledger matters only if the log is damaged.
    if (sound_log_bytes(log, 0) < log.size()) log.resize(sound_log_bytes(log, synced_log_bytes_of(files_, path)));
    *file = std::make_unique<BytesFile>(std::move(log));
    return status;
  }

 private:
  const std::shared_ptr<rocksdb::FileSystem> files_;
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> with_checked_files(const std::shared_ptr<rocksdb::FileSystem>& files) {
  return std::make_shared<CheckedFiles>(files);
}

}  // namespace reform
