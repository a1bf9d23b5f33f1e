#include <reform/exception_status.h>

#include <catch2/catch.hpp>
#include <new>
#include <stdexcept>
#include <system_error>

using namespace reform;

namespace {

template <class E>
Status status_of(const E& thrown) {
  try {
    throw thrown;
  } catch (...) {
    return exception_status();
  }
}

}  // namespace

TEST_CASE("an exception: want of memory or of threads is told apart from a bug", "[base]") {
  const auto error = [](std::errc e) { return std::system_error(std::make_error_code(e)); };
  CHECK(status_of(std::bad_alloc()).code == Code::kMemoryCap);
  CHECK(status_of(std::bad_array_new_length()).code == Code::kMemoryCap);
  CHECK(status_of(error(std::errc::not_enough_memory)).code == Code::kMemoryCap);
  const Status no_thread = status_of(error(std::errc::resource_unavailable_try_again));
  CHECK(no_thread.code == Code::kUnavailable);  // there is memory here
  CHECK(no_thread.message.find("ulimit -u") != std::string::npos);
  CHECK(status_of(error(std::errc::io_error)).code == Code::kInternal);
  const Status bug = status_of(std::logic_error("what it is"));
  CHECK(bug.code == Code::kInternal);
  CHECK(bug.message.find("what it is") != std::string::npos);
  CHECK(status_of(7).code == Code::kInternal);
}
