// How much of the thread's stack is left, so that what recurses can stop in time, however small the stack is.
#pragma once

#include <pthread.h>

#include <cstddef>

namespace reform::jinja {

class StackRoom {
 public:
  StackRoom() {
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    void* lowest = nullptr;
    size_t bytes = 0;
    if (pthread_attr_getstack(&attributes, &lowest, &bytes) == 0)
      end_ = static_cast<const char*>(lowest) + kReserveBytes;
    pthread_attr_destroy(&attributes);
  }
  // Only for the thread that made it.
  bool is_left() const { return static_cast<const char*>(__builtin_frame_address(0)) > end_; }

 private:
  static constexpr size_t kReserveBytes = 96 << 10;  // for what does not recurse
  const char* end_ = nullptr;
};

}  // namespace reform::jinja
