#include "tools/input.h"

#include <fmt/format.h>
#include <poll.h>
#include <reform/errno_status.h>
#include <reform/text.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <ios>
#include <istream>

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

namespace {

// In blocks. The error of reading is the caller's to name.
Status read_stream(std::istream& in, const std::string& name, int64_t most_bytes, const HeadCheck& check,
                   std::string& text) {
  std::string block(kBufferBytes, '\0');
  while (in) {
    in.read(block.data(), std::streamsize(block.size()));
    const auto n = size_t(in.gcount());
    if (text.empty()) {
      if (Status s = check({block.data(), n}); !s.ok()) return s;
    }
    if (int64_t(text.size() + n) > most_bytes)
      return {Code::kBadText, fmt::format("{}: over {} bytes, which is the most; split it", name, most_bytes)};
    text.append(block, 0, n);
  }
  return {};
}

Result<std::string> read_input(int64_t most_bytes, const HeadCheck& check, const CancelToken& cancel) {
  InterruptibleInput input(STDIN_FILENO, cancel);
  std::istream in(&input);
  std::string text;
  const Status read = read_stream(in, shown_input("-"), most_bytes, check, text);
  if (cancel.cancelled()) return Status{Code::kCancelled, "stopped"};
  if (in.bad()) return errno_status(input.error(), "standard input cannot be read");
  if (!read.ok()) return read;
  return text;
}

}  // namespace

std::string shown_input(const std::string& path) { return path == "-" ? "standard input" : path; }

Result<std::string> read_whole(const std::string& path, int64_t most_bytes, const HeadCheck& check,
                               const CancelToken& cancel) {
  if (path == "-") return read_input(most_bytes, check, cancel);
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::string text;
  if (!in.is_open()) return errno_status(errno, path);
  const Status read = read_stream(in, path, most_bytes, check, text);
  if (in.bad()) return errno_status(errno, path);
  if (!read.ok()) return read;
  return text;
}

Result<std::string> read_text(const std::string& path, int64_t most_bytes, const std::string& encoding,
                              const CancelToken& cancel) {
  const std::string name = shown_input(path);
  const HeadCheck check = [&](std::string_view head) {
    return looks_binary(head, encoding) ? to_utf8(head, encoding, name).status() : Status{};
  };
  const Result<std::string> bytes = read_whole(path, most_bytes, check, cancel);
  return bytes.ok() ? to_utf8(bytes.value(), encoding, name) : bytes.status();
}

}  // namespace reform::tool
