#include "storage/context/block_stream.h"

#include <fmt/format.h>
#include <reform/exception_status.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "base/try.h"

namespace reform {
namespace {

constexpr int64_t kSlots = kStreamReaders + 1;  // batches at a time: read, waiting for the consumer, or with it

class BlockStream {
 public:
  BlockStream(const Database& db, Database::Checks checks, schema::Family family, schema::Kind kind, int64_t n,
              const std::function<BlockPlace(int64_t)>& place)
      : db_(db), checks_(checks), family_(family), kind_(kind), n_(n), place_(place) {}
  ~BlockStream() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_all();  // each thread ends after its current read; readers_ waits for them
  }

  void start_readers(int n_readers) {
    try {
      while (int(readers_.size()) < n_readers) {
        readers_.emplace_back([this] {
          std::unique_lock lock(mutex_);
          while (read_next(lock)) {
          }
        });
      }
    } catch (const std::system_error&) {
      // The system has no more threads. The readers that started do the work; without any, next() reads.
    }
  }

  // The next batch in order, valid until the next call. Nothing at the end.
  Result<std::optional<BlockBatch>> next() {
    std::unique_lock lock(mutex_);
    if (n_taken_ > 0) ++n_released_, changed_.notify_all();
    if (readers_.empty()) read_next(lock);
    const auto is_there = [&] { return slots_[size_t(n_taken_ % kSlots)].has_value(); };
    changed_.wait(lock, [&] { return is_there() || (n_cut_ == n_taken_ && next_block_ == n_); });
    if (!is_there()) return std::optional<BlockBatch>();
    auto batch = std::move(*slots_[size_t(n_taken_ % kSlots)]);
    slots_[size_t(n_taken_++ % kSlots)].reset();
    TRY(batch);
    return std::optional<BlockBatch>(std::move(batch).value());
  }

 private:
  // Cuts the next batch, releases the lock while reading it, and puts it into its slot. False if there is none.
  bool read_next(std::unique_lock<std::mutex>& lock) {
    changed_.wait(lock, [&] { return stopped_ || next_block_ == n_ || n_cut_ < n_released_ + kSlots; });
    if (stopped_ || next_block_ == n_) return false;
    const int64_t number = n_cut_++;
    std::vector<BlockPlace> places;
    for (int64_t bytes = 0; next_block_ < n_; ++next_block_) {
      const BlockPlace place = place_(next_block_);
      bytes += place.payload_bytes;
      if (!places.empty() && bytes > kStreamBatchBytes) break;
      places.push_back(place);
    }
    lock.unlock();
    Result<BlockBatch> batch = read_or_status(places);
    lock.lock();
    if (!batch.ok()) next_block_ = n_;  // nobody will ask for what comes after it
    slots_[size_t(number % kSlots)] = std::move(batch);
    changed_.notify_all();
    return true;
  }

  // No exception may leave a thread.
  Result<BlockBatch> read_or_status(const std::vector<BlockPlace>& places) const {
    try {
      return read(places);
    } catch (...) {
      return exception_status();
    }
  }

  Result<BlockBatch> read(const std::vector<BlockPlace>& places) const {
    std::vector<uint64_t> blocks;
    blocks.reserve(places.size());
    for (const BlockPlace& place : places) blocks.push_back(place.block);
    TRY_ASSIGN(BlockBatch batch, db_.read(family_, kind_, blocks, checks_));
    for (size_t i = 0; i < places.size(); ++i) {
      TRY(check_size(db_.tag(), kind_, places[i], batch.payloads[i].size()));
    }
    return batch;
  }

  const Database& db_;
  const Database::Checks checks_;
  const schema::Family family_;
  const schema::Kind kind_;
  const int64_t n_;
  const std::function<BlockPlace(int64_t)>& place_;

  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t next_block_ = 0;                                       // the first block that is in no batch yet
  int64_t n_cut_ = 0, n_taken_ = 0, n_released_ = 0;             // batches begun, given to the consumer, done with
  std::array<std::optional<Result<BlockBatch>>, kSlots> slots_;  // batch b in slot b % kSlots
  bool stopped_ = false;
  std::vector<std::jthread> readers_;  // destroyed first: waits for the threads
};

}  // namespace

Status check_size(const ContextTag& tag, schema::Kind kind, const BlockPlace& place, size_t payload_bytes) {
  const auto got = int64_t(payload_bytes);
  if (place.at_most ? got <= place.payload_bytes : got == place.payload_bytes) return {};
  return {Code::kCorrupt,
          fmt::format("{}: {} has {} bytes, expected {}{}", tag.text(), describe_block(kind, place.block), got,
                      place.at_most ? "at most " : "", place.payload_bytes)};
}

Status stream_blocks(const Database& db, schema::Family family, schema::Kind kind, MemoryCategory category, int64_t n,
                     const std::function<BlockPlace(int64_t)>& place,
                     const std::function<Status(int64_t, std::span<const std::byte>)>& consume) {
  int64_t total_bytes = 0;
  for (int64_t i = 0; i < n && total_bytes < kStreamBytes; ++i) total_bytes += place(i).payload_bytes;
  TRY_ASSIGN(const auto memory, Reservation::create(db.account(), category, std::min(2 * total_bytes, kStreamBytes)));
  TRY_ASSIGN(const auto checks, db.verify_tables(family));
  BlockStream stream(db, checks, family, kind, n, place);
  // With one batch there is nothing to read ahead.
  if (total_bytes > kStreamBatchBytes) stream.start_readers(kStreamReaders);
  for (int64_t i = 0;;) {
    TRY_ASSIGN(const auto batch, stream.next());
    if (!batch) return {};
    for (const auto payload : batch->payloads) TRY(consume(i++, payload));
  }
}

}  // namespace reform
