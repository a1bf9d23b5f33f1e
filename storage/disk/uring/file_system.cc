#include "storage/disk/uring/file_system.h"

#include <fcntl.h>
#include <rocksdb/file_system.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "storage/disk/files.h"
#include "storage/disk/uring/ring.h"

namespace reform {
namespace {

using rocksdb::FileOptions;
using rocksdb::FSReadRequest;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

// Uses the codes of RocksDB's own file system, since RocksDB looks at them.
IOStatus io_error(const std::string& doing, const std::string& path, int error) {
  const std::string what = doing + " " + path, why = std::generic_category().message(error);
  if (error == ENOENT) return IOStatus::PathNotFound(what, why);
  if (error != ENOSPC && error != EDQUOT) return IOStatus::IOError(what, why);
  IOStatus full = IOStatus::NoSpace(what, why);
  full.SetRetryable(true);
  return full;
}

IOStatus run_one(IoRequest request, const std::string& doing, const std::string& path) {
  run_io({&request, 1});
  return request.error == 0 ? IOStatus::OK() : io_error(doing, path, request.error);
}

struct OpenFile {
  std::string path;
  FileDescriptor fd;
  bool direct = false;
};

IOStatus open_file(const std::string& path, int flags, bool direct, OpenFile& file) {
  const auto open_once = [&](int more_flags) {
    int fd = -1;
    do {
      fd = ::open(path.c_str(), flags | more_flags | O_CLOEXEC, 0644);
    } while (fd < 0 && errno == EINTR);
    return fd;
  };
  int fd = direct ? open_once(O_DIRECT) : -1;
  file.direct = fd >= 0;
  if (fd < 0 && (!direct || errno == EINVAL)) fd = open_once(0);
  if (fd < 0) return io_error("while opening", path, errno);
  file.path = path;
  file.fd = FileDescriptor(fd);
  return IOStatus::OK();
}

IOStatus drop_from_cache(const OpenFile& file, size_t offset, size_t length) {
  if (!file.direct) ::posix_fadvise(file.fd.get(), off_t(offset), off_t(length), POSIX_FADV_DONTNEED);
  return IOStatus::OK();
}

bool is_aligned(uint64_t n) { return n % uint64_t(kDirectAlignment) == 0; }

class UringSequentialFile final : public rocksdb::FSSequentialFile {
 public:
  explicit UringSequentialFile(OpenFile file) : file_(std::move(file)) {}

  IOStatus Read(size_t n, const IOOptions&, Slice* result, char* scratch, IODebugContext*) override {
    IoRequest request = IoRequest::read(file_.fd.get(), offset_, scratch, n);
    run_io({&request, 1});
    *result = Slice(scratch, size_t(request.done));
    offset_ += uint64_t(request.done);
    return request.error == 0 ? IOStatus::OK() : io_error("while reading", file_.path, request.error);
  }
  IOStatus Skip(uint64_t n) override {
    offset_ += n;
    return IOStatus::OK();
  }
  IOStatus InvalidateCache(size_t offset, size_t length) override { return drop_from_cache(file_, offset, length); }

 private:
  const OpenFile file_;
  uint64_t offset_ = 0;
};

// RocksDB 7.8 calls ReadAsync only for iterators and MultiGets with ReadOptions::async_io, which we never set (and for
// MultiGets only if it was built with coroutines). The inherited ReadAsync, which reads at once, is enough.
class UringRandomAccessFile final : public rocksdb::FSRandomAccessFile {
 public:
  explicit UringRandomAccessFile(OpenFile file) : file_(std::move(file)) {}

  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    FSReadRequest request;
    request.offset = offset, request.len = n, request.scratch = scratch;
    read_all({&request, 1});
    *result = request.result;
    return request.status;
  }

  // One submission for all requests.
  IOStatus MultiRead(FSReadRequest* requests, size_t n, const IOOptions&, IODebugContext*) override {
    read_all({requests, n});
    return IOStatus::OK();
  }

  IOStatus Prefetch(uint64_t offset, size_t n, const IOOptions&, IODebugContext*) override {
    if (file_.direct) return IOStatus::NotSupported("Prefetch");  // RocksDB then reads ahead into memory of its own
    ::posix_fadvise(file_.fd.get(), off_t(offset), off_t(n), POSIX_FADV_WILLNEED);
    return IOStatus::OK();
  }
  void Hint(AccessPattern pattern) override {
    const int advice = pattern == kRandom       ? POSIX_FADV_RANDOM
                       : pattern == kSequential ? POSIX_FADV_SEQUENTIAL
                       : pattern == kWillNeed   ? POSIX_FADV_WILLNEED
                       : pattern == kWontNeed   ? POSIX_FADV_DONTNEED
                                                : POSIX_FADV_NORMAL;
    if (!file_.direct) ::posix_fadvise(file_.fd.get(), 0, 0, advice);
  }
  bool use_direct_io() const override { return file_.direct; }
  size_t GetRequiredBufferAlignment() const override { return size_t(kDirectAlignment); }
  IOStatus InvalidateCache(size_t offset, size_t length) override { return drop_from_cache(file_, offset, length); }

 private:
  // A read through aligned memory, for a caller whose own is not aligned (RocksDB's readers align theirs).
  struct Detour {
    std::unique_ptr<char, void (*)(void*)> memory{nullptr, std::free};
    size_t skip = 0;  // bytes before the wanted ones
  };

  void read_all(std::span<FSReadRequest> requests) const {
    std::vector<IoRequest> reads;
    std::vector<Detour> detours(requests.size());
    reads.reserve(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) reads.push_back(prepare(requests[i], detours[i]));
    run_io(reads);
    for (size_t i = 0; i < requests.size(); ++i) finish(requests[i], reads[i], detours[i]);
  }

  IoRequest prepare(const FSReadRequest& r, Detour& detour) const {
    const auto alignment = file_.direct ? kDirectAlignment : 1;
    const bool fits = is_aligned(r.offset) && is_aligned(r.len) && is_aligned(reinterpret_cast<uintptr_t>(r.scratch));
    if (!file_.direct || fits) return IoRequest::read(file_.fd.get(), r.offset, r.scratch, r.len, alignment);
    constexpr auto kUnit = uint64_t(kDirectAlignment);
    const uint64_t begin = r.offset / kUnit * kUnit;
    detour.skip = size_t(r.offset - begin);
    const size_t bytes = (detour.skip + r.len + kUnit - 1) / kUnit * kUnit;
    detour.memory.reset(static_cast<char*>(std::aligned_alloc(kUnit, std::max<size_t>(bytes, kUnit))));
    IoRequest read = IoRequest::read(file_.fd.get(), begin, detour.memory.get(), bytes, alignment);
    if (detour.memory == nullptr) read.bytes = 0;  // finish() reports it
    return read;
  }

  void finish(FSReadRequest& r, const IoRequest& read, const Detour& detour) const {
    const bool no_memory = read.data == nullptr && r.scratch != nullptr;
    const auto done = size_t(read.done) - std::min(size_t(read.done), detour.skip);
    r.result = Slice(r.scratch, std::min(done, r.len));
    if (detour.memory != nullptr) std::memcpy(r.scratch, detour.memory.get() + detour.skip, r.result.size());
    // An error beyond the bytes asked for does not matter.
    const int error = no_memory ? ENOMEM : r.result.size() < r.len ? read.error : 0;
    r.status = error == 0 ? IOStatus::OK() : io_error("while reading", file_.path, error);
  }

  const OpenFile file_;
};

class UringWritableFile final : public rocksdb::FSWritableFile {
 public:
  UringWritableFile(OpenFile file, uint64_t size, const FileOptions& options)
      : FSWritableFile(options), file_(std::move(file)), size_(size) {}

  using FSWritableFile::Append;
  using FSWritableFile::PositionedAppend;
  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    return PositionedAppend(data, size_, options, debug);
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions&, IODebugContext*) override {
    const IOStatus written =
        run_one(IoRequest::write(file_.fd.get(), offset, data.data(), data.size()), "while appending to", file_.path);
    if (written.ok()) size_ = offset + data.size();
    return written;
  }
  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
    int failed = 0;
    do {
      failed = ::ftruncate(file_.fd.get(), off_t(size));
    } while (failed != 0 && errno == EINTR);
    if (failed != 0) return io_error("while truncating", file_.path, errno);
    size_ = size;
    return IOStatus::OK();
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override {
    const int error = file_.fd.close();
    return error == 0 ? IOStatus::OK() : io_error("while closing", file_.path, error);
  }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }  // no bytes are held back
  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    return run_one(IoRequest::sync(file_.fd.get(), IoRequest::Op::kSyncData), "while syncing", file_.path);
  }
  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    return run_one(IoRequest::sync(file_.fd.get(), IoRequest::Op::kSync), "while syncing", file_.path);
  }
  bool IsSyncThreadSafe() const override { return true; }
  // Spreads the writing back over time. With strict_bytes_per_sync it also bounds what waits to be written. A file
  // system without this call does without. Any other error is a write's own, and no later sync would report it again.
  IOStatus RangeSync(uint64_t offset, uint64_t n, const IOOptions&, IODebugContext*) override {
    IoRequest request = IoRequest::sync(file_.fd.get(), IoRequest::Op::kSyncRange);
    request.offset = int64_t(offset), request.bytes = int64_t(n);
    if (strict_bytes_per_sync_) {
      request.op = IoRequest::Op::kSyncOlder;
      request.offset = 0, request.bytes = int64_t(offset + n);
    }
    run_io({&request, 1});
    const bool unknown =
        request.error == ENOSYS || request.error == EINVAL || request.error == ESPIPE || request.error == EOPNOTSUPP;
    return request.error == 0 || unknown ? IOStatus::OK() : io_error("while writing back", file_.path, request.error);
  }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return size_; }
  bool use_direct_io() const override { return file_.direct; }
  size_t GetRequiredBufferAlignment() const override { return size_t(kDirectAlignment); }
  IOStatus InvalidateCache(size_t offset, size_t length) override { return drop_from_cache(file_, offset, length); }

 private:
  OpenFile file_;
  uint64_t size_;
};

class UringDirectory final : public rocksdb::FSDirectory {
 public:
  explicit UringDirectory(OpenFile file) : file_(std::move(file)) {}

  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    IoRequest request = IoRequest::sync(file_.fd.get(), IoRequest::Op::kSync);
    run_io({&request, 1});
    // Some file systems do not sync directories and return EINVAL; nothing more can be done on them.
    if (request.error == 0 || request.error == EINVAL) return IOStatus::OK();
    return io_error("while syncing", file_.path, request.error);
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override {
    const int error = file_.fd.close();
    return error == 0 ? IOStatus::OK() : io_error("while closing", file_.path, error);
  }

 private:
  OpenFile file_;
};

class UringFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "UringFileSystem"; }

  // Buffered whatever the options say: these are logs and small files.
  IOStatus NewSequentialFile(const std::string& path, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* result, IODebugContext* debug) override {
    if (options.use_mmap_reads) return target_->NewSequentialFile(path, options, result, debug);
    OpenFile file;
    const IOStatus opened = open_file(path, O_RDONLY, false, file);
    if (opened.ok()) *result = std::make_unique<UringSequentialFile>(std::move(file));
    return opened;
  }

  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions& options,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* result, IODebugContext* debug) override {
    if (options.use_mmap_reads) return target_->NewRandomAccessFile(path, options, result, debug);
    OpenFile file;
    const IOStatus opened = open_file(path, O_RDONLY, options.use_direct_reads, file);
    if (opened.ok()) *result = std::make_unique<UringRandomAccessFile>(std::move(file));
    return opened;
  }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* debug) override {
    if (options.use_mmap_writes) return target_->NewWritableFile(path, options, result, debug);
    return open_for_writing(path, O_TRUNC, options, result);
  }

  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* debug) override {
    if (options.use_mmap_writes) return target_->ReopenWritableFile(path, options, result, debug);
    return open_for_writing(path, 0, options, result);
  }

  IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* debug) override {
    const IOStatus renamed = RenameFile(old_path, path, options.io_options, debug);
    return renamed.ok() ? NewWritableFile(path, options, result, debug) : renamed;
  }

  IOStatus NewDirectory(const std::string& path, const IOOptions&, std::unique_ptr<rocksdb::FSDirectory>* result,
                        IODebugContext*) override {
    OpenFile file;
    const IOStatus opened = open_file(path, O_RDONLY | O_DIRECTORY, false, file);
    if (opened.ok()) *result = std::make_unique<UringDirectory>(std::move(file));
    return opened;
  }

 private:
  static IOStatus open_for_writing(const std::string& path, int flags, const FileOptions& options,
                                   std::unique_ptr<rocksdb::FSWritableFile>* result) {
    OpenFile file;
    const IOStatus opened = open_file(path, O_WRONLY | O_CREAT | flags, options.use_direct_writes, file);
    if (!opened.ok()) return opened;
    struct stat info;
    if (::fstat(file.fd.get(), &info) != 0) return io_error("while looking at", path, errno);
    *result = std::make_unique<UringWritableFile>(std::move(file), uint64_t(info.st_size), options);
    return opened;
  }
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> make_uring_file_system(const std::shared_ptr<rocksdb::FileSystem>& wrapped) {
  return std::make_shared<UringFileSystem>(wrapped);
}

}  // namespace reform
