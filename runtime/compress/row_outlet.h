// Takes a call's embedding rows [n_tokens, row_bytes] from the ops that write them to the host, which stores them.
#pragma once

#include <reform/status.h>

#include <memory>
#include <span>

#include "base/memory.h"
#include "kernels/device.h"

namespace reform {

struct RowsForHost {
  std::span<const std::byte> bytes;
  int64_t copy = -1;  // the device's number of a copy under way; -1: the rows may be read now

  bool under_way() const { return copy >= 0; }
};

// If the host sees the device's memory, rows are in one buffer, which the next call overwrites. A device with memory of
// its own has two buffers, each with a copy on the host: while one is copied out and stored, the next call fills the
// other.
class RowOutlet {
 public:
  static Result<std::unique_ptr<RowOutlet>> create(const Site& site, int64_t max_bytes);
  ~RowOutlet();

  // Room for a call's rows. Ops issued from now on may write it.
  Result<std::byte*> begin_call();
  // Hands over the call's first `bytes` bytes. On a device with memory of its own they stay until the next call but one
  // begins, otherwise until the next call begins.
  Result<RowsForHost> end_call(int64_t bytes);
  // Waits until `rows` may be read. kUnavailable: the device has failed.
  Status wait_for(const RowsForHost& rows);

 private:
  struct Place {
    Buffer<std::byte> rows;
    PinnedBuffer host;
    int64_t copy = -1;  // the last copy of `rows`
  };
  explicit RowOutlet(Copies* copies) : copies_(copies) {}

  Copies* const copies_;  // nullptr: the host sees the device's memory, and only the first place is used
  Place places_[2];
  int now_ = 0;
};

}  // namespace reform
