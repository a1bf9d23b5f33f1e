#include "tests/support/fault_file_system.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>
#include <utility>

#include "tests/support/disk_model.h"

namespace reform::test {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

class FaultFileSystem::State {
 public:
  State(const std::string& root, uint64_t seed)
      : root_(root), random_(seed), model_(std::make_unique<DiskModel>(root)) {}

  // What comes of a call: it fails with this status, first being done by half, or it is done.
  struct Verdict {
    IOStatus status;
    bool half = false;
  };

  void arm(FaultPlan plan) {
    const std::lock_guard lock(mutex_);
    plan_ = std::move(plan);
    counts_ = {};
  }
  FaultCounts counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
  }
  bool lost_power() const { return dead_; }
  void restore_power() {
    const std::lock_guard lock(mutex_);
    write_image(root_, image_);
    model_ = std::make_unique<DiskModel>(root_);
    plan_ = {};
    dead_ = false;
  }

  IOStatus alive() const { return dead_ ? IOStatus::IOError("the power is gone") : IOStatus::OK(); }

  // A file read from its beginning on never says less than there is but at its end, so that is no fault to plan there.
  Verdict admit_read(bool may_be_short) {
    const std::lock_guard lock(mutex_);
    if (dead_) return {alive()};
    if (plan_.failure == Failure::kShort && !may_be_short) return {IOStatus::OK()};
    return judge(++counts_.reads, plan_.fail_read);
  }

  // Runs `real` on the base and, if it went well, `note` on the model: one change of the disk.
  template <class Real, class Note>
  IOStatus change(const Real& real, const Note& note) {
    const std::lock_guard lock(mutex_);
    if (dead_) return alive();
    if (const Verdict verdict = judge(++counts_.writes, plan_.fail_write); !verdict.status.ok()) return verdict.status;
    const IOStatus done = real();
    if (done.ok()) note(*model_);
    return done;
  }

  // `write(n_bytes)` writes the first so many; for the half of a write that then fails, too.
  template <class Write>
  IOStatus write_data(size_t n_bytes, const Write& write) {
    const std::lock_guard lock(mutex_);
    if (dead_) return alive();
    const Verdict verdict = judge(++counts_.writes, plan_.fail_write);
    if (verdict.half && n_bytes > 1) (void)write(n_bytes / 2, *model_).ok();
    return verdict.status.ok() ? write(n_bytes, *model_) : verdict.status;
  }

  template <class Real, class Note>
  IOStatus sync(const std::string& path, const Real& real, const Note& note) {
    const std::lock_guard lock(mutex_);
    if (dead_) return alive();
    if (++counts_.syncs == plan_.lose_power_at_sync) {
      image_ = model_->lose_power(random_);
      ++counts_.failures;
      dead_ = true;
      return alive();
    }
    if (const Verdict verdict = judge(++counts_.writes, plan_.fail_write); !verdict.status.ok()) return verdict.status;
    if (plan_.swallows_sync && plan_.swallows_sync(path)) {
      ++counts_.swallowed;
      return IOStatus::OK();
    }
    const IOStatus done = real();
    if (done.ok()) note(*model_);
    return done;
  }

 private:
  Verdict judge(int64_t n, int64_t fails_at) {
    if (fails_at == 0 || n < fails_at || (n > fails_at && !plan_.from_then_on)) return {IOStatus::OK()};
    ++counts_.failures;
    switch (plan_.failure) {
      case Failure::kIo:
        return {IOStatus::IOError("planned fault: Input/output error")};
      case Failure::kNoSpace:
        return {IOStatus::NoSpace("planned fault: No space left on device")};
      case Failure::kShort:
        return {IOStatus::NoSpace("planned fault: cut short"), true};
    }
    return {IOStatus::OK()};
  }

  const std::string root_;
  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  std::unique_ptr<DiskModel> model_;
  FaultPlan plan_;
  FaultCounts counts_;
  std::atomic<bool> dead_ = false;
  DiskModel::Image image_;
};

namespace {

using State = FaultFileSystem::State;
using StatePtr = std::shared_ptr<State>;

// A read cut short is none that failed: it looks as if the file ended there.
IOStatus finish_read(const State::Verdict& verdict, const IOStatus& done, Slice& result) {
  if (!verdict.half || !done.ok()) return done;
  result = Slice(result.data(), result.size() / 2);
  return done;
}

class SequentialFile final : public rocksdb::FSSequentialFileOwnerWrapper {
 public:
  SequentialFile(StatePtr state, std::unique_ptr<rocksdb::FSSequentialFile> base)
      : FSSequentialFileOwnerWrapper(std::move(base)), state_(std::move(state)) {}
  IOStatus Read(size_t n, const IOOptions& options, Slice* result, char* scratch, IODebugContext* debug) override {
    const IOStatus admitted = state_->admit_read(false).status;
    return admitted.ok() ? target()->Read(n, options, result, scratch, debug) : admitted;
  }
  IOStatus PositionedRead(uint64_t at, size_t n, const IOOptions& options, Slice* result, char* scratch,
                          IODebugContext* debug) override {
    const IOStatus admitted = state_->admit_read(false).status;
    return admitted.ok() ? target()->PositionedRead(at, n, options, result, scratch, debug) : admitted;
  }

 private:
  StatePtr state_;
};

class RandomAccessFile final : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  RandomAccessFile(StatePtr state, std::unique_ptr<rocksdb::FSRandomAccessFile> base)
      : FSRandomAccessFileOwnerWrapper(std::move(base)), state_(std::move(state)) {}
  IOStatus Read(uint64_t at, size_t n, const IOOptions& options, Slice* result, char* scratch,
                IODebugContext* debug) const override {
    const State::Verdict verdict = state_->admit_read(true);
    if (!verdict.status.ok() && !verdict.half) return verdict.status;
    return finish_read(verdict, target()->Read(at, n, options, result, scratch, debug), *result);
  }
  // Each request is a read that may fail by itself; the base serves them all at once.
  IOStatus MultiRead(rocksdb::FSReadRequest* requests, size_t n, const IOOptions& options,
                     IODebugContext* debug) override {
    std::vector<State::Verdict> verdicts;
    for (size_t i = 0; i < n; ++i) verdicts.push_back(state_->admit_read(true));
    const IOStatus done = target()->MultiRead(requests, n, options, debug);
    for (size_t i = 0; i < n; ++i) {
      if (!verdicts[i].status.ok() && !verdicts[i].half) {
        requests[i].status = verdicts[i].status;
      } else {
        requests[i].status = finish_read(verdicts[i], requests[i].status, requests[i].result);
      }
    }
    return done;
  }
  IOStatus ReadAsync(rocksdb::FSReadRequest& request, const IOOptions& options,
                     std::function<void(const rocksdb::FSReadRequest&, void*)> done, void* context, void** handle,
                     rocksdb::IOHandleDeleter* free_handle, IODebugContext* debug) override {
    return FSRandomAccessFile::ReadAsync(request, options, std::move(done), context, handle, free_handle, debug);
  }
  IOStatus Prefetch(uint64_t at, size_t n, const IOOptions& options, IODebugContext* debug) override {
    const IOStatus alive = state_->alive();
    return alive.ok() ? target()->Prefetch(at, n, options, debug) : alive;
  }

 private:
  StatePtr state_;
};

class WritableFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  WritableFile(StatePtr state, std::string path, DiskModel::NodePtr node, std::unique_ptr<rocksdb::FSWritableFile> base)
      : FSWritableFileOwnerWrapper(std::move(base)), state_(std::move(state)), path_(std::move(path)), node_(node) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    return state_->write_data(data.size(), [&](size_t n, DiskModel& model) {
      const IOStatus done = target()->Append(Slice(data.data(), n), options, debug);
      if (done.ok() && node_) model.append(*node_, {data.data(), n});
      return done;
    });
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&,
                  IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t at, const IOOptions& options, IODebugContext* debug) override {
    return state_->write_data(data.size(), [&](size_t n, DiskModel& model) {
      const IOStatus done = target()->PositionedAppend(Slice(data.data(), n), at, options, debug);
      if (done.ok() && node_) model.write(*node_, int64_t(at), {data.data(), n});
      return done;
    });
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t at, const IOOptions& options,
                            const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
    return PositionedAppend(data, at, options, debug);
  }
  IOStatus Truncate(uint64_t bytes, const IOOptions& options, IODebugContext* debug) override {
    return state_->change([&] { return target()->Truncate(bytes, options, debug); },
                          [&](DiskModel& model) {
                            if (node_) model.truncate(*node_, int64_t(bytes));
                          });
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return sync([&] { return target()->Sync(options, debug); });
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return sync([&] { return target()->Fsync(options, debug); });
  }
  // A hint for the kernel to begin writing; it promises nothing.
  IOStatus RangeSync(uint64_t at, uint64_t n, const IOOptions& options, IODebugContext* debug) override {
    const IOStatus alive = state_->alive();
    return alive.ok() ? target()->RangeSync(at, n, options, debug) : alive;
  }
  IOStatus Flush(const IOOptions& options, IODebugContext* debug) override {
    const IOStatus alive = state_->alive();
    return alive.ok() ? target()->Flush(options, debug) : alive;
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    const IOStatus closed = target()->Close(options, debug), alive = state_->alive();
    return alive.ok() ? closed : alive;
  }

 private:
  template <class Real>
  IOStatus sync(const Real& real) {
    return state_->sync(path_, real, [&](DiskModel& model) {
      if (node_) model.sync_file(*node_);
    });
  }
  StatePtr state_;
  const std::string path_;
  const DiskModel::NodePtr node_;
};

class Directory final : public rocksdb::FSDirectory {
 public:
  Directory(StatePtr state, std::string path, std::unique_ptr<rocksdb::FSDirectory> base)
      : state_(std::move(state)), path_(std::move(path)), base_(std::move(base)) {}
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return state_->sync(
        path_, [&] { return base_->Fsync(options, debug); }, [&](DiskModel& model) { model.sync_directory(path_); });
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override { return base_->Close(options, debug); }
  size_t GetUniqueId(char* id, size_t max_size) const override { return base_->GetUniqueId(id, max_size); }

 private:
  StatePtr state_;
  const std::string path_;
  std::unique_ptr<rocksdb::FSDirectory> base_;
};

}  // namespace

FaultFileSystem::FaultFileSystem(const std::shared_ptr<rocksdb::FileSystem>& base, const std::string& root,
                                 uint64_t seed)
    : FileSystemWrapper(base), state_(std::make_shared<State>(root, seed)) {}
FaultFileSystem::~FaultFileSystem() = default;

void FaultFileSystem::arm(FaultPlan plan) { state_->arm(std::move(plan)); }
FaultCounts FaultFileSystem::counts() const { return state_->counts(); }
bool FaultFileSystem::lost_power() const { return state_->lost_power(); }
void FaultFileSystem::restore_power() { state_->restore_power(); }

IOStatus FaultFileSystem::NewSequentialFile(const std::string& path, const FileOptions& options,
                                            std::unique_ptr<rocksdb::FSSequentialFile>* file, Debug* debug) {
  if (const IOStatus admitted = state_->admit_read(false).status; !admitted.ok()) return admitted;
  std::unique_ptr<rocksdb::FSSequentialFile> base;
  const IOStatus opened = target()->NewSequentialFile(path, options, &base, debug);
  if (opened.ok()) *file = std::make_unique<SequentialFile>(state_, std::move(base));
  return opened;
}

IOStatus FaultFileSystem::NewRandomAccessFile(const std::string& path, const FileOptions& options,
                                              std::unique_ptr<rocksdb::FSRandomAccessFile>* file, Debug* debug) {
  if (const IOStatus admitted = state_->admit_read(false).status; !admitted.ok()) return admitted;
  std::unique_ptr<rocksdb::FSRandomAccessFile> base;
  const IOStatus opened = target()->NewRandomAccessFile(path, options, &base, debug);
  if (opened.ok()) *file = std::make_unique<RandomAccessFile>(state_, std::move(base));
  return opened;
}

IOStatus FaultFileSystem::NewWritableFile(const std::string& path, const FileOptions& options,
                                          std::unique_ptr<rocksdb::FSWritableFile>* file, Debug* debug) {
  std::unique_ptr<rocksdb::FSWritableFile> base;
  DiskModel::NodePtr node;
  const IOStatus opened = state_->change([&] { return target()->NewWritableFile(path, options, &base, debug); },
                                         [&](DiskModel& model) { node = model.open_file(path, true); });
  if (opened.ok()) *file = std::make_unique<WritableFile>(state_, path, node, std::move(base));
  return opened;
}

IOStatus FaultFileSystem::ReopenWritableFile(const std::string& path, const FileOptions& options,
                                             std::unique_ptr<rocksdb::FSWritableFile>* file, Debug* debug) {
  std::unique_ptr<rocksdb::FSWritableFile> base;
  DiskModel::NodePtr node;
  const IOStatus opened = state_->change([&] { return target()->ReopenWritableFile(path, options, &base, debug); },
                                         [&](DiskModel& model) { node = model.open_file(path, false); });
  if (opened.ok()) *file = std::make_unique<WritableFile>(state_, path, node, std::move(base));
  return opened;
}

// By rename and NewWritableFile, both of which are modelled.
IOStatus FaultFileSystem::ReuseWritableFile(const std::string& path, const std::string& old_path,
                                            const FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* file,
                                            Debug* debug) {
  return FileSystem::ReuseWritableFile(path, old_path, options, file, debug);
}

IOStatus FaultFileSystem::NewRandomRWFile(const std::string&, const FileOptions&,
                                          std::unique_ptr<rocksdb::FSRandomRWFile>*, Debug*) {
  return IOStatus::NotSupported("files written in place are not modelled");
}

IOStatus FaultFileSystem::NewDirectory(const std::string& path, const IOOptions& options,
                                       std::unique_ptr<rocksdb::FSDirectory>* directory, Debug* debug) {
  if (const IOStatus alive = state_->alive(); !alive.ok()) return alive;
  std::unique_ptr<rocksdb::FSDirectory> base;
  const IOStatus opened = target()->NewDirectory(path, options, &base, debug);
  if (opened.ok()) *directory = std::make_unique<Directory>(state_, path, std::move(base));
  return opened;
}

IOStatus FaultFileSystem::FileExists(const std::string& path, const IOOptions& options, Debug* debug) {
  const IOStatus alive = state_->alive();
  return alive.ok() ? target()->FileExists(path, options, debug) : alive;
}

IOStatus FaultFileSystem::GetChildren(const std::string& path, const IOOptions& options,
                                      std::vector<std::string>* names, Debug* debug) {
  const IOStatus alive = state_->alive();
  return alive.ok() ? target()->GetChildren(path, options, names, debug) : alive;
}

IOStatus FaultFileSystem::GetFileSize(const std::string& path, const IOOptions& options, uint64_t* bytes,
                                      Debug* debug) {
  const IOStatus alive = state_->alive();
  return alive.ok() ? target()->GetFileSize(path, options, bytes, debug) : alive;
}

IOStatus FaultFileSystem::DeleteFile(const std::string& path, const IOOptions& options, Debug* debug) {
  return state_->change([&] { return target()->DeleteFile(path, options, debug); },
                        [&](DiskModel& model) { model.remove(path); });
}

IOStatus FaultFileSystem::DeleteDir(const std::string& path, const IOOptions& options, Debug* debug) {
  return state_->change([&] { return target()->DeleteDir(path, options, debug); },
                        [&](DiskModel& model) { model.remove(path); });
}

IOStatus FaultFileSystem::Truncate(const std::string& path, size_t bytes, const IOOptions& options, Debug* debug) {
  return state_->change([&] { return target()->Truncate(path, bytes, options, debug); },
                        [&](DiskModel& model) {
                          if (const auto node = model.open_file(path, false)) model.truncate(*node, int64_t(bytes));
                        });
}

IOStatus FaultFileSystem::CreateDir(const std::string& path, const IOOptions& options, Debug* debug) {
  return state_->change([&] { return target()->CreateDir(path, options, debug); },
                        [&](DiskModel& model) { model.make_directory(path); });
}

IOStatus FaultFileSystem::CreateDirIfMissing(const std::string& path, const IOOptions& options, Debug* debug) {
  return state_->change([&] { return target()->CreateDirIfMissing(path, options, debug); },
                        [&](DiskModel& model) { model.make_directory(path); });
}

IOStatus FaultFileSystem::RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                                     Debug* debug) {
  return state_->change([&] { return target()->RenameFile(from, to, options, debug); },
                        [&](DiskModel& model) { model.rename(from, to); });
}

IOStatus FaultFileSystem::LinkFile(const std::string&, const std::string&, const IOOptions&, Debug*) {
  return IOStatus::NotSupported("links are not modelled");
}

// Not a change of data: it makes an empty file at most, which the model finds by itself. (Unlocking goes straight to
// the base, also without power: locks are this process's.)
IOStatus FaultFileSystem::LockFile(const std::string& path, const IOOptions& options, rocksdb::FileLock** lock,
                                   Debug* debug) {
  const IOStatus alive = state_->alive();
  return alive.ok() ? target()->LockFile(path, options, lock, debug) : alive;
}

}  // namespace reform::test
