// CancelToken: how a caller stops a running ingest, ask or generate from another thread or a signal handler.
// Takes effect within a second, inside a chunk too; the call then returns kCancelled. Async-signal-safe.
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
