// Streams weights through two slots of a device's memory: one part is copied while ops use another.
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/model/weights/reader.h"

namespace reform {

class WeightStream {
 public:
  // `parts` are in the order in which they will be asked for, again and again. Part i is in pinned memory at from[i];
  // if `from` is empty, parts are read from the file. kMemoryCap.
  static Result<std::unique_ptr<WeightStream>> create(const Gguf& gguf, Device& device, MemoryAccount& host,
                                                      std::vector<WeightPart> parts, std::vector<const std::byte*> from,
                                                      int64_t slot_bytes);
  ~WeightStream();  // waits for copies that are under way

  // Where part i is for ops issued from now on, until the next call. Also begins to copy the part after it. Any other
  // order is correct but slow. May be called again after an error.
  Result<const std::byte*> get(int64_t i, const CancelToken* cancel);
  const WeightPart& part(int64_t i) const { return parts_[size_t(i)]; }
  double read_bytes_per_s() const { return reader_ == nullptr ? 0 : reader_->bytes_per_s(); }  // 0: unknown

 private:
  struct Slot {
    reform::Buffer<std::byte> data;
    int64_t part = -1, copy = -1;
  };
  explicit WeightStream(Copies& copies) : copies_(copies) {}
  Slot* find(int64_t part);
  Slot& other(const Slot& slot) { return &slot == &slots_[0] ? slots_[1] : slots_[0]; }
  Status start(int64_t part, Slot& slot, const CancelToken* cancel);
  Result<const std::byte*> bring(int64_t part, const CancelToken* cancel);

  Copies& copies_;
  std::vector<WeightPart> parts_;
  std::vector<const std::byte*> from_;
  Slot slots_[2];
  Slot* last_ = &slots_[0];  // the slot that ops read now
  int64_t last_copy_ = -1;
  std::unique_ptr<WeightReader> reader_;
};

// Copies whole blobs, through pinned buffers of its own.
class BlobCopier {
 public:
  static int64_t host_bytes(int64_t most_bytes);  // of those buffers
  BlobCopier(const Gguf& gguf, Copies& copies, MemoryAccount& host, int64_t most_bytes);
  Status copy(const WeightBlob& blob, std::byte* to);  // and waits for it

 private:
  struct Staging {
    PinnedBuffer data;
    int64_t copy = -1;
  };
  Result<int64_t> start(const WeightBlob& blob, int64_t begin, int64_t end, std::byte* to, Staging& staging);
  const Gguf& gguf_;
  Copies& copies_;
  MemoryAccount& host_;
  const int64_t step_bytes_;
  Staging staging_[2];
};

}  // namespace reform
