// Ctrl-C. While a call that can be cancelled runs, the first one asks it to stop: it returns kCancelled, having kept
// what was saved. If it has not within 0.9 s, on a second Ctrl-C, or where nothing can be cancelled, the process ends
// at once. It exits with 130 either way. SIGTERM is treated alike.
#pragma once

#include <reform/cancel.h>

namespace reform::tool {

// error_object: what to write on standard output when the process ends at once ("" for nothing); must live on.
void install_interrupt_handler(const char* error_object);

// Lives round one cancellable call.
class CancelScope {
 public:
  CancelScope();
  ~CancelScope();
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;
  const CancelToken& token() const;
};

}  // namespace reform::tool
