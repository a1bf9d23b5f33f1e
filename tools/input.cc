#include "tools/input.h"

#include <poll.h>
#include <reform/errno_status.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <ios>
#include <istream>
#include <sstream>

namespace reform::tool {

constexpr size_t kBufferBytes = 1 << 16;
constexpr int kPollMs = 100;  // a cancellation is noticed within this time

InterruptibleInput::InterruptibleInput(int fd, const CancelToken& cancel)
    : fd_(fd), cancel_(cancel), buffer_(kBufferBytes) {}

InterruptibleInput::int_type InterruptibleInput::underflow() {
  // The istream catches these exceptions and sets badbit.
  for (;;) {
    if (cancel_.cancelled()) throw std::ios_base::failure("interrupted");
    pollfd waiting{fd_, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, kPollMs);
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    const ssize_t n = ::read(fd_, buffer_.data(), buffer_.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) error_ = errno, throw std::ios_base::failure("read");
    if (n == 0) return traits_type::eof();
    setg(buffer_.data(), buffer_.data(), buffer_.data() + n);
    return traits_type::to_int_type(buffer_[0]);
  }
}

Result<std::string> read_file(const std::string& path) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (in.is_open() && in.peek() != std::ifstream::traits_type::eof()) text << in.rdbuf();
  if (!in.is_open() || in.bad() || text.bad()) {
    return errno_status(errno, path);
  }
  return std::move(text).str();
}

Result<std::string> read_file_or_input(const std::string& path, const CancelToken& cancel) {
  if (path != "-") return read_file(path);
  InterruptibleInput input(STDIN_FILENO, cancel);
  std::istream in(&input);
  std::ostringstream text;
  if (in.peek() != std::istream::traits_type::eof()) text << in.rdbuf();
  if (cancel.cancelled()) return Status{Code::kCancelled, "stopped"};
  if (in.bad()) return errno_status(input.error(), "standard input cannot be read");
  return std::move(text).str();
}

}  // namespace reform::tool
