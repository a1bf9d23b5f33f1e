#include "runtime/model/weights/stream.h"

#include <reform/units.h>

#include <algorithm>

#include "base/try.h"

namespace reform {
namespace {

constexpr int64_t kStagingBytes = 8 * kMiB;  // enough for a copy at full speed

}  // namespace

Result<std::unique_ptr<WeightStream>> WeightStream::create(const Gguf& gguf, Device& device, MemoryAccount& host,
                                                           std::vector<WeightPart> parts,
                                                           std::vector<const std::byte*> from, int64_t slot_bytes) {
  CHECK((!parts.empty() && (from.empty() || from.size() == parts.size())));
  std::unique_ptr<WeightStream> stream(new WeightStream(*device.copies()));
  int64_t most_bytes = 0;
  for (const WeightPart& p : parts) most_bytes = std::max(most_bytes, p.end - p.begin);
  CHECK(most_bytes <= slot_bytes);
  for (Slot& slot : stream->slots_) {
    TRY_ASSIGN(slot.data, reform::Buffer<std::byte>::create(device.account(), MemoryCategory::kWeights, slot_bytes));
  }
  if (from.empty()) {
    TRY_ASSIGN(stream->reader_, WeightReader::create(gguf, *device.copies(), host, most_bytes));
  }
  stream->parts_ = std::move(parts), stream->from_ = std::move(from);
  return stream;
}

WeightStream::~WeightStream() {
  if (last_copy_ >= 0) (void)copies_.wait_for(last_copy_);  // if the device has failed, it copies no more
}

WeightStream::Slot* WeightStream::find(int64_t part) {
  for (Slot& slot : slots_) {
    if (slot.part == part) return &slot;
  }
  return nullptr;
}

// The ops that read the slot have all been issued, so the copy comes after them.
Status WeightStream::start(int64_t part, Slot& slot, const CancelToken* cancel) {
  const WeightPart& p = parts_[size_t(part)];
  WeightReader::Buffer* read = nullptr;
  const std::byte* from = nullptr;
  if (reader_ == nullptr) {
    from = from_[size_t(part)];
  } else {
    TRY_ASSIGN(read, reader_->wait(part, p, cancel));
    from = read->data.data();
  }
  slot.part = -1;
  TRY_ASSIGN(slot.copy, copies_.start(slot.data.data(), from, p.end - p.begin));
  slot.part = part, last_copy_ = slot.copy;
  if (read != nullptr) read->copy = slot.copy;
  return {};
}

Result<const std::byte*> WeightStream::bring(int64_t part, const CancelToken* cancel) {
  Slot* slot = find(part);
  if (slot == nullptr) {
    slot = &other(*last_);
    TRY(start(part, *slot, cancel));
  }
  TRY(copies_.ops_wait_for(slot->copy));
  last_ = slot;
  const int64_t n = int64_t(parts_.size()), next = (part + 1) % n, after_next = (part + 2) % n;
  if (find(next) == nullptr) TRY(start(next, other(*slot), cancel));
  if (reader_ != nullptr && find(after_next) == nullptr) TRY(reader_->begin(after_next, parts_[size_t(after_next)]));
  return slot->data.data();
}

Result<const std::byte*> WeightStream::get(int64_t i, const CancelToken* cancel) {
  auto place = bring(i, cancel);
  if (place.ok() || place.status().code == Code::kCancelled) return place;
  for (Slot& slot : slots_) slot.part = -1;  // after an error, what they hold is unknown
  return place;
}

int64_t BlobCopier::host_bytes(int64_t most_bytes) { return 2 * std::min(most_bytes, kStagingBytes); }

BlobCopier::BlobCopier(const Gguf& gguf, Copies& copies, MemoryAccount& host, int64_t most_bytes)
    : gguf_(gguf), copies_(copies), host_(host), step_bytes_(std::min(most_bytes, kStagingBytes)) {}

Result<int64_t> BlobCopier::start(const WeightBlob& blob, int64_t begin, int64_t end, std::byte* to, Staging& staging) {
  if (staging.data.size() == 0) {
    TRY_ASSIGN(staging.data, PinnedBuffer::create(copies_, host_, MemoryCategory::kWeights, step_bytes_));
  }
  if (staging.copy >= 0) TRY(copies_.wait_for(staging.copy));
  TRY(blob.read(gguf_, begin, end, staging.data.data()));
  TRY_ASSIGN(staging.copy, copies_.start(to + begin, staging.data.data(), end - begin));
  return staging.copy;
}

Status BlobCopier::copy(const WeightBlob& blob, std::byte* to) {
  int64_t last = -1;
  Status status;
  for (int64_t begin = 0, turn = 0; status.ok() && begin < blob.bytes; begin += step_bytes_, turn = 1 - turn) {
    const auto started = start(blob, begin, std::min(begin + step_bytes_, blob.bytes), to, staging_[turn]);
    if (started.ok()) last = started.value();
    status = started.status();
  }
  const Status waited = last >= 0 ? copies_.wait_for(last) : ok_status();  // also if it failed: buffers go
  return status.ok() ? waited : status;
}

}  // namespace reform
