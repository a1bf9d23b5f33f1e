#include "runtime/model/weights/reader.h"

#include <reform/exception_status.h>

#include <chrono>

#include "base/stopwatch.h"
#include "base/try.h"

namespace reform {
namespace {

constexpr std::chrono::milliseconds kReadPoll{50};

}  // namespace

Result<std::unique_ptr<WeightReader>> WeightReader::create(const Gguf& gguf, Copies& copies, MemoryAccount& host,
                                                           int64_t most_bytes) {
  std::unique_ptr<WeightReader> reader(new WeightReader(gguf, copies));
  for (Reading& r : reader->readings_) {
    TRY_ASSIGN(r.buffer.data, PinnedBuffer::create(copies, host, MemoryCategory::kWeights, most_bytes));
  }
  try {
    reader->thread_ = std::thread([r = reader.get()] { r->run(); });
  } catch (...) {
    return exception_status();
  }
  return reader;
}

WeightReader::~WeightReader() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void WeightReader::run() {
  size_t turn = 0;  // parts are handed over in turn, so this is the order in which they are wanted
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || readings_[0].in_hand || readings_[1].in_hand; });
    if (stopping_) return;
    if (!readings_[turn].in_hand) turn = 1 - turn;
    Reading& reading = readings_[turn];
    const WeightPart part = reading.part;
    std::byte* const to = reading.buffer.data.data();
    lock.unlock();
    const Stopwatch watch;
    const Status status = part.blob->read(gguf_, part.begin, part.end, to);
    lock.lock();
    read_ms_ += watch.elapsed_ms();
    read_bytes_ += double(part.end - part.begin);
    reading.status = status;
    reading.in_hand = false;
    turn = 1 - turn;
    changed_.notify_all();
  }
}

double WeightReader::bytes_per_s() const {
  const std::lock_guard lock(mutex_);
  return read_ms_ > 0 ? read_bytes_ / (read_ms_ / 1000) : 0;
}

WeightReader::Reading* WeightReader::find(int64_t item) {
  for (Reading& r : readings_) {
    if (r.buffer.item == item) return &r;
  }
  return nullptr;
}

bool WeightReader::is_in_hand(const Reading& reading) {
  const std::lock_guard lock(mutex_);
  return reading.in_hand;
}

Status WeightReader::wait_until_read(const Reading& reading, const CancelToken* cancel) {
  std::unique_lock lock(mutex_);
  while (reading.in_hand) {
    if (cancel != nullptr && cancel->cancelled()) return {Code::kCancelled, "cancelled"};
    changed_.wait_for(lock, kReadPoll);
  }
  return reading.status;
}

Status WeightReader::hand_over(Reading& reading, int64_t item, const WeightPart& part) {
  if (reading.buffer.copy >= 0) TRY(copies_.wait_for(reading.buffer.copy));
  reading.buffer.item = item, reading.buffer.copy = -1;
  {
    const std::lock_guard lock(mutex_);
    reading.part = part, reading.in_hand = true, reading.status = {};
  }
  changed_.notify_all();
  return {};
}

Status WeightReader::begin(int64_t item, const WeightPart& part) {
  CHECK(part.end - part.begin <= readings_[0].buffer.data.size());
  if (find(item) != nullptr) return {};
  Reading* free = nullptr;  // unused or being copied out; of two, the one whose copy began first
  for (Reading& r : readings_) {
    if ((r.buffer.item >= 0 && r.buffer.copy < 0) || is_in_hand(r)) continue;
    if (free == nullptr || r.buffer.copy < free->buffer.copy) free = &r;
  }
  return free == nullptr ? ok_status() : hand_over(*free, item, part);
}

Result<WeightReader::Buffer*> WeightReader::wait(int64_t item, const WeightPart& part, const CancelToken* cancel) {
  TRY(begin(item, part));
  Reading* reading = find(item);
  if (reading == nullptr) {  // both hold parts that are no longer wanted
    for (Reading& r : readings_) {
      if (reading == nullptr || is_in_hand(*reading)) reading = &r;
    }
    if (const Status s = wait_until_read(*reading, cancel); s.code == Code::kCancelled) return s;
    TRY(hand_over(*reading, item, part));
  }
  Status status = wait_until_read(*reading, cancel);
  if (status.ok()) return &reading->buffer;
  if (status.code != Code::kCancelled) reading->buffer.item = -1;
  return status;
}

}  // namespace reform
