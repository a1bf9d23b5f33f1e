#include "tools/serve/connection.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace reform::tool {

using namespace std::chrono;

namespace {

constexpr int kMostRestReads = 1024;
constexpr milliseconds kCancelPoll{100};

}  // namespace

Connection::~Connection() {
  ::shutdown(fd_, SHUT_WR);
  drop_rest();
  ::close(fd_);
}

// A client that still sends would lose the response, if what it sent were not read.
void Connection::drop_rest() {
  const auto end = steady_clock::now() + limits_.rest;
  std::array<char, 4096> rest;
  for (int i = 0; i < kMostRestReads || n_left_ > 0; ++i) {
    const auto left = duration_cast<milliseconds>(end - steady_clock::now());
    if (left.count() <= 0 || (n_left_ > 0 && !wait(POLLIN, left))) return;
    const ssize_t n = ::recv(fd_, rest.data(), rest.size(), MSG_DONTWAIT);
    if (n <= 0) return;
    n_left_ -= n;
  }
}

bool Connection::wait(short events, milliseconds most) const {
  pollfd of{fd_, events, 0};
  int ready = 0;
  do {
    ready = ::poll(&of, 1, int(std::max<int64_t>(0, most.count())));
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

bool Connection::is_readable() const {
  const seconds earned{is_upload_ ? n_body_bytes_ / limits_.upload_bytes_per_s : 0};
  const auto left = duration_cast<milliseconds>(begin_ + limits_.request_time + earned - steady_clock::now());
  return n_left_ > 0 && left.count() > 0 && wait(POLLIN, std::min(left, duration_cast<milliseconds>(limits_.idle)));
}

ssize_t Connection::read(char* bytes, size_t size) {
  if (!is_readable()) return -1;
  size = std::min(size, size_t(n_left_));
  ssize_t n = 0;
  do {
    n = ::recv(fd_, bytes, size, 0);
  } while (n < 0 && errno == EINTR);
  if (n > 0) count({bytes, size_t(n)});
  return n;
}

// An empty line ends the head.
void Connection::count(std::string_view bytes) {
  n_left_ -= int64_t(bytes.size());
  if (!is_in_head_) n_body_bytes_ += int64_t(bytes.size());
  for (size_t i = 0; is_in_head_ && i < bytes.size(); ++i) {
    if (bytes[i] == '\r') continue;
    is_in_head_ = bytes[i] != '\n' || last_ != '\n';
    last_ = bytes[i];
    if (!is_in_head_) n_left_ = -int64_t(bytes.size() - i - 1);
  }
}

void Connection::expect_body(int64_t bytes, bool is_upload) {
  n_left_ += bytes;
  is_upload_ = is_upload;
}

Result<size_t> Connection::read_body(char* bytes, size_t size, const CancelToken& cancel) {
  if (n_left_ <= 0) return size_t{0};
  const auto end = steady_clock::now() + limits_.idle;
  bool is_there = false;
  while (!is_there && !cancel.cancelled() && steady_clock::now() < end) is_there = wait(POLLIN, kCancelPoll);
  if (cancel.cancelled()) return Status{Code::kCancelled, "the server is shutting down; send it again later"};
  const ssize_t n = is_there ? read(bytes, size) : -1;
  if (n > 0) return size_t(n);
  return Status{Code::kUsage,
                fmt::format("the body broke off {} bytes before the end that Content-Length told", n_left_)};
}

ssize_t Connection::write(const char* bytes, size_t size) {
  if (!wait(POLLOUT, duration_cast<milliseconds>(limits_.write))) return -1;
  ssize_t n = 0;
  do {
    n = ::send(fd_, bytes, size, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  return n;
}

bool Connection::client_is_gone() const {
  if (!wait(POLLIN, milliseconds(0))) return false;
  char byte = 0;
  const ssize_t n = ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

}  // namespace reform::tool
