// Signals. While a cancellable call runs, the first Ctrl-C asks it to stop; the call keeps what was saved and returns
// kCancelled. The process ends at once if the call has not stopped within 0.9 s, on a second Ctrl-C, or if nothing can
// be cancelled. Either way it exits with 130. SIGTERM and SIGHUP do the same; at the limit on CPU time it ends at once.
// A signal that was ignored when the process began stays ignored.
#pragma once

#include <reform/cancel.h>

namespace reform::tool {

void install_signal_handlers();

// Lives while one cancellable call runs.
class CancelScope {
 public:
  // `if_late`: what is said if the process ends before the call has stopped.
  explicit CancelScope(
      const char* if_late = "interrupted; what was saved is kept, and the same command goes on from there");
  ~CancelScope();
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;
  const CancelToken& token() const;
  // The call was cancelled and saves what it has done: it gets ten seconds from now. A second Ctrl-C still ends it.
  void allow_saving() const;
};

}  // namespace reform::tool
