#include "storage/final_errors.h"

#include <rocksdb/file_system.h>

namespace reform {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

constexpr const char* kNoSpace = "[no space]";

IOStatus final_error(const IOStatus& status) {
  return status.IsNoSpace() ? IOStatus::IOError(kNoSpace, status.ToString()) : status;
}

class FinalFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  using FSWritableFileOwnerWrapper::FSWritableFileOwnerWrapper;
  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* dbg) override {
    return final_error(target()->Append(data, options, dbg));
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo& info,
                  IODebugContext* dbg) override {
    return final_error(target()->Append(data, options, info, dbg));
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            IODebugContext* dbg) override {
    return final_error(target()->PositionedAppend(data, offset, options, dbg));
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            const rocksdb::DataVerificationInfo& info, IODebugContext* dbg) override {
    return final_error(target()->PositionedAppend(data, offset, options, info, dbg));
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* dbg) override {
    return final_error(target()->Truncate(size, options, dbg));
  }
  IOStatus Allocate(uint64_t offset, uint64_t length, const IOOptions& options, IODebugContext* dbg) override {
    return final_error(target()->Allocate(offset, length, options, dbg));
  }
  IOStatus RangeSync(uint64_t offset, uint64_t n, const IOOptions& options, IODebugContext* dbg) override {
    return final_error(target()->RangeSync(offset, n, options, dbg));
  }
  IOStatus Flush(const IOOptions& options, IODebugContext* dbg) override {
    return final_error(target()->Flush(options, dbg));
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* dbg) override {
    return final_error(target()->Sync(options, dbg));
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* dbg) override {
    return final_error(target()->Fsync(options, dbg));
  }
  IOStatus Close(const IOOptions& options, IODebugContext* dbg) override {
    return final_error(target()->Close(options, dbg));
  }
};

class FinalDirectory final : public rocksdb::FSDirectory {
 public:
  explicit FinalDirectory(std::unique_ptr<FSDirectory> target) : target_(std::move(target)) {}
  IOStatus Fsync(const IOOptions& options, IODebugContext* dbg) override {
    return final_error(target_->Fsync(options, dbg));
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* dbg,
                               const rocksdb::DirFsyncOptions& directory) override {
    return final_error(target_->FsyncWithDirOptions(options, dbg, directory));
  }
  IOStatus Close(const IOOptions& options, IODebugContext* dbg) override {
    return final_error(target_->Close(options, dbg));
  }
  size_t GetUniqueId(char* id, size_t max_size) const override { return target_->GetUniqueId(id, max_size); }

 private:
  const std::unique_ptr<FSDirectory> target_;
};

class FinalErrors final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  static const char* kClassName() { return "reform.FinalErrors"; }
  const char* Name() const override { return kClassName(); }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* dbg) override {
    return wrapped(target_->NewWritableFile(path, options, file, dbg), file);
  }
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* dbg) override {
    return wrapped(target_->ReopenWritableFile(path, options, file, dbg), file);
  }
  IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* dbg) override {
    return wrapped(target_->ReuseWritableFile(path, old_path, options, file, dbg), file);
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* directory, IODebugContext* dbg) override {
    const IOStatus opened = target_->NewDirectory(path, options, directory, dbg);
    if (opened.ok()) *directory = std::make_unique<FinalDirectory>(std::move(*directory));
    return final_error(opened);
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* dbg) override {
    return final_error(target_->RenameFile(from, to, options, dbg));
  }
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions& options,
                    IODebugContext* dbg) override {
    return final_error(target_->LinkFile(from, to, options, dbg));
  }
  IOStatus CreateDir(const std::string& path, const IOOptions& options, IODebugContext* dbg) override {
    return final_error(target_->CreateDir(path, options, dbg));
  }
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions& options, IODebugContext* dbg) override {
    return final_error(target_->CreateDirIfMissing(path, options, dbg));
  }

 private:
  static IOStatus wrapped(const IOStatus& opened, std::unique_ptr<rocksdb::FSWritableFile>* file) {
    if (opened.ok()) *file = std::make_unique<FinalFile>(std::move(*file));
    return final_error(opened);
  }
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> with_final_errors(const std::shared_ptr<rocksdb::FileSystem>& files) {
  return std::make_shared<FinalErrors>(files);
}

bool is_no_space(const rocksdb::Status& status) {
  return status.IsNoSpace() || (status.IsIOError() && status.ToString().find(kNoSpace) != std::string::npos);
}

}  // namespace reform
