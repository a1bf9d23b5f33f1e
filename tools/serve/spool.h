// Bytes that wait on the disk, in a file that no name leads to: it is gone when the server is, however that ends.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <streambuf>
#include <string>
#include <string_view>
#include <vector>

namespace reform::tool {

class Spool {
 public:
  // kNoSpace: the disk has less than `bytes` free.
  static Result<Spool> create(const std::string& dir, int64_t bytes);
  Status append(std::string_view bytes);
  int64_t size_bytes() const { return size_bytes_; }
  Result<size_t> read(int64_t begin, char* bytes, size_t size) const;  // 0 only at the end

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  Spool(std::FILE* file, std::string dir) : file_(file), dir_(std::move(dir)) {}

  std::unique_ptr<std::FILE, Close> file_;  // owns the descriptor; nothing goes through its buffer
  std::string dir_;                         // for messages
  int64_t size_bytes_ = 0;
};

// A stretch [begin, end) of a spool, which must outlive it, for an istream. Where it cannot be read the stream becomes
// bad().
class SpoolInput : public std::streambuf {
 public:
  SpoolInput(const Spool& spool, int64_t begin, int64_t end);

 protected:
  int_type underflow() override;

 private:
  const Spool& spool_;
  int64_t at_;
  const int64_t end_;
  std::vector<char> buffer_;  // empty before the first byte and behind the last: there may be thousands of these
};

}  // namespace reform::tool
