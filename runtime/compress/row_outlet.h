// The way of a call's embedding rows [n_tokens, row_bytes] from the ops that write them to the host that stores them.
#pragma once

#include <reform/status.h>

#include <memory>
#include <span>

#include "kernels/device.h"

namespace reform {

struct RowsForHost {
  std::span<const std::byte> bytes;
  int64_t copy = -1;  // under way, by the device's number; -1: the rows are there

  bool under_way() const { return copy >= 0; }
};

// Where the host sees the device's memory, rows lie in one buffer that the next call overwrites. A device with memory
// of its own has two, each with a copy on the host: while one is copied out and stored, the next call fills the other.
class RowOutlet {
 public:
  static Result<std::unique_ptr<RowOutlet>> create(const Site& site, int64_t max_bytes);
  virtual ~RowOutlet() = default;

  // Room for a call's rows. Ops issued from now on may write it.
  virtual Result<std::byte*> begin_call() = 0;
  // The call's first `bytes`. They stay until the next call but one begins; on the host, until the next one does.
  virtual Result<RowsForHost> end_call(int64_t bytes) = 0;
  // Until `rows` may be read. kUnavailable: the device has failed.
  virtual Status wait_for(const RowsForHost& rows) = 0;
};

}  // namespace reform
