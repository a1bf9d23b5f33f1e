#include "storage/limits/metered_files.h"

#include <algorithm>

namespace reform {
namespace {

using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

class MeteredFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  MeteredFile(std::unique_ptr<FSWritableFile> target, std::shared_ptr<Meter> meter, int64_t size, int64_t block_bytes)
      : FSWritableFileOwnerWrapper(std::move(target)),
        meter_(std::move(meter)),
        size_(size),
        block_bytes_(block_bytes) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* dbg) override {
    return grow(size_ + int64_t(data.size()), [&] { return target()->Append(data, options, dbg); });
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo& info,
                  IODebugContext* dbg) override {
    return grow(size_ + int64_t(data.size()), [&] { return target()->Append(data, options, info, dbg); });
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            IODebugContext* dbg) override {
    return grow(int64_t(offset + data.size()), [&] { return target()->PositionedAppend(data, offset, options, dbg); });
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            const rocksdb::DataVerificationInfo& info, IODebugContext* dbg) override {
    return grow(int64_t(offset + data.size()),
                [&] { return target()->PositionedAppend(data, offset, options, info, dbg); });
  }
  IOStatus Allocate(uint64_t offset, uint64_t len, const IOOptions& options, IODebugContext* dbg) override {
    return grow(int64_t(offset + len), [&] { return target()->Allocate(offset, len, options, dbg); });
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* dbg) override {
    return grow(int64_t(size), [&] { return target()->Truncate(size, options, dbg); });
  }

 private:
  // A file has one writing thread at a time, so size_ needs no lock. A failed write counts too, as it may have left
  // bytes.
  template <class Write>
  IOStatus grow(int64_t new_size, const Write& write) {
    const int64_t more = in_blocks(new_size) - in_blocks(size_);
    if (more <= 0) return write();
    if (!meter_->admit(more)) return IOStatus::NoSpace("no room below the store's cap (--max-store-bytes)");
    size_ = new_size;
    IOStatus written = write();
    meter_->landed(more);
    return written;
  }
  int64_t in_blocks(int64_t bytes) const { return (bytes + block_bytes_ - 1) / block_bytes_ * block_bytes_; }

  const std::shared_ptr<Meter> meter_;
  int64_t size_;
  const int64_t block_bytes_;
};

}  // namespace

void Meter::adjust(const SetCeiling& set) {
  const std::lock_guard lock(mutex_);
  bytes_ = measure_() + in_flight_;
  ceiling_ = set(ceiling_, bytes_, 0);
}

bool Meter::admit(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > ceiling_ - bytes_) {  // not bytes_ + bytes > ceiling_, which would overflow without a ceiling
    bytes_ = measure_() + in_flight_;
    if (bytes > ceiling_ - bytes_) ceiling_ = raise_(ceiling_, bytes_, bytes);
    if (bytes > ceiling_ - bytes_) return false;
  }
  bytes_ += bytes;
  in_flight_ += bytes;
  return true;
}

void Meter::landed(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  in_flight_ -= bytes;
}

MeteredFileSystem::MeteredFileSystem(const std::shared_ptr<rocksdb::FileSystem>& target, const std::string& store_dir,
                                     int64_t block_bytes)
    : FileSystemWrapper(target),
      contexts_(store_dir + "/contexts/"),
      trash_(store_dir + "/trash/"),
      block_bytes_(block_bytes) {}

void MeteredFileSystem::add(const std::string& id, std::shared_ptr<Meter> meter) {
  const std::lock_guard lock(mutex_);
  meters_[id] = std::move(meter);
}

void MeteredFileSystem::remove(const std::string& id) {
  const std::lock_guard lock(mutex_);
  meters_.erase(id);
}

std::shared_ptr<Meter> MeteredFileSystem::meter_of(const std::string& path) {
  for (const std::string* below : {&contexts_, &trash_}) {
    if (!path.starts_with(*below)) continue;
    const std::lock_guard lock(mutex_);
    const auto found = meters_.find(path.substr(below->size(), path.find('/', below->size()) - below->size()));
    if (found != meters_.end()) return found->second;
  }
  return nullptr;
}

void MeteredFileSystem::wrap(const std::string& path, int64_t size, std::unique_ptr<FSWritableFile>* file) {
  auto meter = meter_of(path);
  if (meter == nullptr) return;
  *file = std::make_unique<MeteredFile>(std::move(*file), std::move(meter), size, block_bytes_);
}

IOStatus MeteredFileSystem::NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                            std::unique_ptr<FSWritableFile>* file, IODebugContext* dbg) {
  IOStatus opened = target()->NewWritableFile(path, options, file, dbg);
  if (opened.ok()) wrap(path, 0, file);
  return opened;
}

IOStatus MeteredFileSystem::ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                               std::unique_ptr<FSWritableFile>* file, IODebugContext* dbg) {
  uint64_t size = 0;
  if (!target()->GetFileSize(path, options.io_options, &size, dbg).ok()) size = 0;  // the file is new
  IOStatus opened = target()->ReopenWritableFile(path, options, file, dbg);
  if (opened.ok()) wrap(path, int64_t(size), file);
  return opened;
}

// The old file is overwritten from its start. It counts in full until it is longer.
IOStatus MeteredFileSystem::ReuseWritableFile(const std::string& path, const std::string& old_path,
                                              const rocksdb::FileOptions& options,
                                              std::unique_ptr<FSWritableFile>* file, IODebugContext* dbg) {
  IOStatus opened = target()->ReuseWritableFile(path, old_path, options, file, dbg);
  if (opened.ok()) wrap(path, 0, file);
  return opened;
}

}  // namespace reform
