// Files that are read whole, and standard input as a stream that Ctrl-C can interrupt. (std::cin would wait in read()
// until the writer sends something.)
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <cstdint>
#include <functional>
#include <streambuf>
#include <string>
#include <string_view>
#include <vector>

namespace reform::tool {

// A read error or a cancellation makes the istream bad(), never an end of file: half a text must not pass for the
// whole.
class InterruptibleInput : public std::streambuf {
 public:
  InterruptibleInput(int fd, const CancelToken& cancel);
  int error() const { return error_; }  // the errno of a failed read; 0: none failed

 protected:
  int_type underflow() override;

 private:
  int fd_, error_ = 0;
  const CancelToken& cancel_;
  std::vector<char> buffer_;
};

// Of a file that is held whole. A prompt of 4 MiB is longer than any model's window.
inline constexpr int64_t kMostPromptBytes = int64_t{4} << 20, kMostQuestionsBytes = int64_t{4} << 20,
                         kMostListBytes = int64_t{16} << 20;

// Looks at a file's beginning, so that nobody waits for what is no text.
using HeadCheck = std::function<Status(std::string_view head)>;

// "-" is standard input. kBadText: it has more than `most_bytes`.
Result<std::string> read_whole(const std::string& path, int64_t most_bytes, const HeadCheck& check,
                               const CancelToken& cancel);
// The same in UTF-8.
Result<std::string> read_text(const std::string& path, int64_t most_bytes, const std::string& encoding,
                              const CancelToken& cancel);
std::string shown_input(const std::string& path);  // "standard input" for "-"

}  // namespace reform::tool
