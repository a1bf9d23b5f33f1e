#include "tests/storage/support/watched_disk.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "storage/disk/files.h"

namespace reform::test {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

class HookedFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  HookedFile(std::unique_ptr<rocksdb::FSWritableFile> target, std::string path, HookedFileSystem& hooks)
      : FSWritableFileOwnerWrapper(std::move(target)), path_(std::move(path)), hooks_(hooks) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* dbg) override {
    return hooked(data, [&] { return target()->Append(data, options, dbg); });
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo& info,
                  IODebugContext* dbg) override {
    return hooked(data, [&] { return target()->Append(data, options, info, dbg); });
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* dbg) override {
    const IOStatus allowed = hooks_.before_sync(path_);
    return allowed.ok() ? target()->Sync(options, dbg) : allowed;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* dbg) override {
    const IOStatus allowed = hooks_.before_sync(path_);
    return allowed.ok() ? target()->Fsync(options, dbg) : allowed;
  }

 private:
  template <class Write>
  IOStatus hooked(const Slice& data, const Write& write) {
    const auto held = hooks_.enter();
    IOStatus status = hooks_.before_append(path_, int64_t(data.size()));
    if (status.ok()) status = write();
    hooks_.after_write();
    return status;
  }
  const std::string path_;
  HookedFileSystem& hooks_;
};

}  // namespace

IOStatus UnmovingDisk::RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                                  IODebugContext* dbg) {
  const bool moves_out = from.find("/contexts/") != from.npos && to.find("/trash/") != to.npos;
  if (!moves_out) return target()->RenameFile(from, to, options, dbg);
  return IOStatus::IOError("While renaming a file to " + to + ": " + from, std::strerror(EXDEV));
}

DiskUse disk_use(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) return {};  // files come and go meanwhile
  DiskUse use{S_ISREG(info.st_mode) ? int64_t(info.st_size) : 0, int64_t(info.st_blocks) * 512};
  if (!S_ISDIR(info.st_mode)) return use;
  const auto names = list_directory(path);
  if (!names.ok()) return use;
  for (const std::string& name : names.value()) {
    const DiskUse inside = disk_use(path + "/" + name);
    use.size_bytes += inside.size_bytes, use.block_bytes += inside.block_bytes;
  }
  return use;
}

IOStatus HookedFileSystem::DeleteFile(const std::string& path, const IOOptions& options, IODebugContext* dbg) {
  const auto held = enter();
  return target()->DeleteFile(path, options, dbg);
}

IOStatus HookedFileSystem::NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                           std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* dbg) {
  const auto held = enter();
  IOStatus opened = target()->NewWritableFile(path, options, file, dbg);
  if (opened.ok()) *file = std::make_unique<HookedFile>(std::move(*file), path, *this);
  return opened;
}

void WatchedFileSystem::after_write() { most_bytes_ = std::max(int64_t(most_bytes_), disk_use(dir_).most()); }

IOStatus SmallDisk::before_append(const std::string&, int64_t bytes) {
  if (room_bytes == INT64_MAX || disk_use(dir_).size_bytes + bytes <= room_bytes) return IOStatus::OK();
  ++n_refused;
  return IOStatus::NoSpace("No space left on device");
}

IOStatus SmallDisk::before_sync(const std::string&) {
  if (syncs_left-- > 0) return IOStatus::OK();
  ++n_refused;
  return IOStatus::NoSpace("No space left on device");
}

}  // namespace reform::test
