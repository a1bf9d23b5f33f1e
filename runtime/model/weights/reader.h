// Reads weights from the file into two pinned buffers, in a thread, ahead of the copies to a device.
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "kernels/device.h"
#include "runtime/model/weights/blob.h"

namespace reform {

// What is copied at once: bytes [begin, end) of a blob.
struct WeightPart {
  const WeightBlob* blob = nullptr;
  int64_t begin = 0, end = 0;
};

// One thread calls; only reading happens in the other.
class WeightReader {
 public:
  static Result<std::unique_ptr<WeightReader>> create(const Gguf& gguf, Copies& copies, MemoryAccount& host,
                                                      int64_t most_bytes);
  ~WeightReader();  // no copy from its buffers may be under way

  struct Buffer {
    int64_t item = -1;  // whose part is read, or was: -1 none
    int64_t copy = -1;  // the copy out of it that was started last, -1: none since it was read
    PinnedBuffer data;
  };
  // The buffer with the item's part, once it is read. What this returns is free again when its `copy`, which the caller
  // sets, is done. kIo: the file cannot be read. kCancelled.
  Result<Buffer*> wait(int64_t item, const WeightPart& part, const CancelToken* cancel);
  // Begins to read it, where a buffer is free or will be when its copy is done, which this waits for.
  Status begin(int64_t item, const WeightPart& part);

  double bytes_per_s() const;  // so far; 0: nothing was read

 private:
  struct Reading {  // shared, but for `buffer`
    Buffer buffer;
    WeightPart part;
    bool in_hand = false;  // of the thread
    Status status;
  };
  WeightReader(const Gguf& gguf, Copies& copies) : gguf_(gguf), copies_(copies) {}
  void run();
  Reading* find(int64_t item);
  bool is_in_hand(const Reading& reading);
  Status wait_until_read(const Reading& reading, const CancelToken* cancel);
  Status hand_over(Reading& reading, int64_t item, const WeightPart& part);

  const Gguf& gguf_;
  Copies& copies_;
  Reading readings_[2];
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  double read_ms_ = 0, read_bytes_ = 0;
  std::thread thread_;
};

}  // namespace reform
