// Files that are read whole, and standard input as a stream that Ctrl-C can interrupt. (std::cin would wait in read()
// until the writer sends something.)
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <streambuf>
#include <string>
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

Result<std::string> read_file(const std::string& path);
// "-" is standard input.
Result<std::string> read_file_or_input(const std::string& path, const CancelToken& cancel);

}  // namespace reform::tool
