#include "storage/store/reader_pool.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>

#include "base/try.h"
#include "storage/disk/files.h"

namespace reform {
namespace {

// Descriptors of an open context (its lock, RocksDB's MANIFEST, tables and blob files; more for a long text), and of
// all else: the streams, the model, io_uring's rings.
constexpr int64_t kDescriptorsPerReader = 8, kOtherDescriptors = 32;

size_t most_open() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return size_t(kMostOpenReaders);
  const int64_t n = (int64_t(std::min<rlim_t>(limit.rlim_cur, 1 << 20)) - kOtherDescriptors) / kDescriptorsPerReader;
  return size_t(std::clamp<int64_t>(n, 1, kMostOpenReaders));
}

}  // namespace

class PooledReader final : public ContextData {
 public:
  PooledReader(std::shared_ptr<ReaderPool> pool, const StoredContext& context)
      : pool_(std::move(pool)),
        meta_(context.meta()),
        sequence_(context.state().sequence),
        bytes_read_(context.bytes_read()) {}
  ~PooledReader() override { pool_->forget(*this); }

  const ContextMeta& meta() const override { return meta_; }
  uint64_t sequence() const { return sequence_; }
  Result<std::vector<Tokens>> read_token_ranges(std::span<const TokenRange> ranges) override {
    return read<std::vector<Tokens>>([&](const StoredContext& c) { return c.read_tokens(ranges); });
  }
  Status scan(const ChunkKind& kind, const StoredContext::ValueFn& fn) override {
    return read<bool>([&](const StoredContext& c) { return done(c.scan(kind, fn)); }).status();
  }
  Status read_values(const ChunkKind& kind, std::span<const TokenRange> ranges,
                     const StoredContext::ValueFn& fn) override {
    return read<bool>([&](const StoredContext& c) { return done(c.read_values(kind, ranges, fn)); }).status();
  }
  Result<std::vector<int64_t>> checkpoints() override {
    return read<std::vector<int64_t>>([](const StoredContext& c) { return Result(c.checkpoints()); });
  }
  Status load_checkpoint(
      int64_t n_tokens, const std::function<Status(const std::string& name, std::span<const std::byte>)>& fn) override {
    return read<bool>([&](const StoredContext& c) { return done(c.load_checkpoint(n_tokens, fn)); }).status();
  }
  int64_t bytes_read() const override { return bytes_read_; }

 private:
  static Result<bool> done(const Status& status) { return status.ok() ? Result(true) : Result<bool>(status); }

  template <class T>
  Result<T> read(const std::function<Result<T>(const StoredContext&)>& from) {
    TRY_ASSIGN(const ReaderPool::Open context, pool_->open(*this));
    const int64_t before = context->bytes_read();
    Result<T> got = from(*context);
    bytes_read_ += context->bytes_read() - before;
    return got;
  }

  const std::shared_ptr<ReaderPool> pool_;
  const ContextMeta meta_;
  const uint64_t sequence_;  // of its state when it was first opened
  int64_t bytes_read_;
};

ReaderPool::ReaderPool(StoreDirectory dir, DatabaseShare share)
    : dir_(std::move(dir)), share_(std::move(share)), most_open_(most_open()) {}

void ReaderPool::make_room() {
  const std::lock_guard lock(mutex_);
  while (open_.size() >= most_open_) open_.pop_front();
}

std::unique_ptr<ContextData> ReaderPool::make_reader(StoredContext context) {
  auto reader = std::make_unique<PooledReader>(shared_from_this(), context);
  keep(*reader, std::make_shared<StoredContext>(std::move(context)));
  return reader;
}

void ReaderPool::keep(const PooledReader& reader, Open context) {
  make_room();
  const std::lock_guard lock(mutex_);
  open_.emplace_back(&reader, std::move(context));
}

void ReaderPool::forget(const PooledReader& reader) {
  const std::lock_guard lock(mutex_);
  open_.remove_if([&](const auto& place) { return place.first == &reader; });
}

Result<ReaderPool::Open> ReaderPool::open(const PooledReader& reader) {
  {
    const std::lock_guard lock(mutex_);
    const auto place = std::find_if(open_.begin(), open_.end(), [&](const auto& p) { return p.first == &reader; });
    if (place != open_.end()) {
      open_.splice(open_.end(), open_, place);
      return open_.back().second;
    }
  }
  make_room();
  const ContextMeta& meta = reader.meta();
  auto shared = FileLock::acquire(dir_.lock_path(meta.id), FileLock::Mode::kShared);
  if (shared.status().code == Code::kBusy) {
    return Status{Code::kBusy, fmt::format("context \"{}\" is being {}: wait until it is done, or stop it", meta.name,
                                           shared.status().message)};
  }
  TRY(shared);
  TRY_ASSIGN(const bool is_there, dir_.has_context(meta.id));
  if (!is_there)
    return Status{Code::kNotFound, fmt::format("context \"{}\" was removed while it was being read", meta.name)};
  TRY_ASSIGN(StoredContext again,
             StoredContext::open(dir_.context_dir(meta.id), std::move(shared).value(), Database::Mode::kRead, share_));
  if (again.state().sequence != reader.sequence())
    return Status{Code::kBusy,
                  fmt::format("context \"{}\" was changed while it was being read; run this again", meta.name)};
  auto opened = std::make_shared<StoredContext>(std::move(again));
  keep(reader, opened);
  return opened;
}

}  // namespace reform
