// Ctrl-C. While a call that can be cancelled runs, the first one asks it to stop (it returns kCancelled within a
// second, having kept what was saved); a second one, or one at any other time, ends the process at once. Both exit
// with 130. SIGTERM is treated alike.
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
