// CancelToken stops a running call from another thread or a signal handler. The call returns kCancelled within a
// second, also from the middle of a chunk. cancel() is async-signal-safe. A token stays cancelled.
#pragma once

#include <atomic>

namespace reform {

class CancelToken {
 public:
  void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> cancelled_{false};
};

}  // namespace reform
