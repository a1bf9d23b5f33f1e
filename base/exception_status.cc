#include <fmt/format.h>
#include <pthread.h>
#include <reform/exception_status.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <exception>
#include <new>
#include <system_error>

namespace reform {
namespace {

constexpr const char* kOutOfMemory =
    "out of memory: the system, or a limit (ulimit -v, a control group), has no more for this process";

// The kernel answers EAGAIN both where there is no room for the stack and where there are too many threads.
bool has_room_for_a_stack() {
  pthread_attr_t attributes;
  size_t bytes = 0;
  if (::pthread_getattr_default_np(&attributes) != 0) return true;
  ::pthread_attr_getstacksize(&attributes, &bytes);
  ::pthread_attr_destroy(&attributes);
  return has_memory(bytes);
}

}  // namespace

bool has_memory(size_t bytes) noexcept {
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  ::munmap(memory, bytes);
  return true;
}

Status thread_refusal() {
  if (!has_room_for_a_stack()) return {Code::kMemoryCap, kOutOfMemory};
  rlimit limit{};
  const bool is_limited = ::getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  const std::string now = is_limited ? fmt::format(", now {}", limit.rlim_cur) : "";
  return {
      Code::kUnavailable,
      fmt::format("the system starts no more threads: raise the user's limit on processes and threads (ulimit -u{}) "
                  "or the control group's (pids.max)",
                  now)};
}

namespace {

Status status_now() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return {Code::kMemoryCap, kOutOfMemory};
  } catch (const std::system_error& e) {
    if (e.code() == std::errc::not_enough_memory) return {Code::kMemoryCap, kOutOfMemory};
    if (e.code() == std::errc::resource_unavailable_try_again) return thread_refusal();
    return {Code::kInternal, fmt::format("unexpected: {}", e.what())};
  } catch (const std::exception& e) {
    return {Code::kInternal, fmt::format("unexpected: {}", e.what())};
  } catch (...) {
    return {Code::kInternal, "unexpected exception"};
  }
}

}  // namespace

Status exception_status() noexcept {
  try {
    return status_now();
  } catch (...) {  // no memory for the message
    return {Code::kMemoryCap, "out of memory"};
  }
}

}  // namespace reform
