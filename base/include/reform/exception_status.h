// What an exception of the standard library, or of a library below, means to a caller.
#pragma once

#include <reform/status.h>

#include <cstddef>

namespace reform {

// Of the exception being handled: call it in a catch block. kMemoryCap if there is no memory left, kUnavailable if the
// system starts no more threads, else kInternal.
Status exception_status() noexcept;

// Why a thread did not start: kMemoryCap if there is no memory for its stack, else kUnavailable with the limits to
// raise.
Status thread_refusal();

// Whether the system gives this process so much more memory in one piece. A signal handler may ask, too.
bool has_memory(size_t bytes) noexcept;

}  // namespace reform
