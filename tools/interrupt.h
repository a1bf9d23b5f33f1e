// Ctrl-C. While a cancellable call runs, the first Ctrl-C asks it to stop; the call keeps what was saved and returns
// kCancelled. The process ends at once if the call has not stopped within 0.9 s, on a second Ctrl-C, or if nothing can
// be cancelled. Either way it exits with 130. SIGTERM does the same.
#pragma once

#include <reform/cancel.h>

namespace reform::tool {

// error_object: what to write to standard output when the process ends at once ("" for nothing). It must stay alive.
void install_interrupt_handler(const char* error_object);

// Lives while one cancellable call runs.
class CancelScope {
 public:
  CancelScope();
  ~CancelScope();
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;
  const CancelToken& token() const;
  // The call was cancelled and saves what it has done: it gets ten seconds from now. A second Ctrl-C still ends it.
  void allow_saving() const;
};

}  // namespace reform::tool
