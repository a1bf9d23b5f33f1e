// Reads weights from the file into two pinned buffers, in a thread of its own, ahead of the copies to a device.
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

// The unit of copying: bytes [begin, end) of a blob.
struct WeightPart {
  const WeightBlob* blob = nullptr;
  int64_t begin = 0, end = 0;
};

// Calls come from one thread. The reader's own thread only reads.
class WeightReader {
 public:
  static Result<std::unique_ptr<WeightReader>> create(const Gguf& gguf, Copies& copies, MemoryAccount& host,
                                                      int64_t most_bytes);
  ~WeightReader();  // no copy from its buffers may be under way

  struct Buffer {
    int64_t item = -1;  // whose part is being read, or has been; -1: none
    int64_t copy = -1;  // the last copy started from it; -1: none since it was read
    PinnedBuffer data;
  };
  // Waits until the item's part is read, and returns its buffer. The caller sets the buffer's `copy`; the buffer is
  // free again when that copy is done. kIo: the file cannot be read. kCancelled.
  Result<Buffer*> wait(int64_t item, const WeightPart& part, const CancelToken* cancel);
  // Begins to read the part if a buffer is free, or will be once it is copied out; then it waits for that copy.
  Status begin(int64_t item, const WeightPart& part);

  double bytes_per_s() const;  // so far; 0: nothing was read

 private:
  struct Reading {  // guarded by mutex_, except `buffer`
    Buffer buffer;
    WeightPart part;
    bool in_hand = false;  // to be read, or being read, by the thread
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
