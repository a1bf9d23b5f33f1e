// multipart/form-data (RFC 7578), as it comes in. Of a body of any length it holds a piece and one part's head.
//
// The HTTP library's own reader holds all that follows a boundary which ends in something else than a line, and takes
// no body whose first boundary comes in two pieces.
#pragma once

#include <reform/status.h>

#include <functional>
#include <string>
#include <string_view>

namespace reform::tool {

// kUsage: the Content-Type names no boundary that a body may have.
Result<std::string> multipart_boundary(const std::string& content_type);

struct MultipartHead {
  std::string name;  // of the form's field
  std::string file;  // as the client calls it; it may be anything
  bool is_file = false;
};

class MultipartReader {
 public:
  using OnHead = std::function<Status(const MultipartHead& head)>;  // a part begins
  using OnBytes = std::function<Status(std::string_view bytes)>;    // of the part that began last; never empty

  MultipartReader(const std::string& boundary, OnHead on_head, OnBytes on_bytes)
      : delimiter_("\r\n--" + boundary), on_head_(std::move(on_head)), on_bytes_(std::move(on_bytes)) {}

  // kUsage: the body is broken. Else what the functions said; nothing may follow an error.
  Status feed(std::string_view bytes);
  Status finish() const;  // kUsage: the last boundary is missing

 private:
  enum class State { kPreamble, kBoundary, kHead, kBody, kEnd };
  // True: it got further. False: it needs more bytes.
  Result<bool> step();
  Result<bool> find_delimiter();
  Result<bool> pass_boundary();
  Result<bool> take_head();
  std::string_view waiting() const { return std::string_view(buffer_).substr(at_); }

  const std::string delimiter_;
  const OnHead on_head_;
  const OnBytes on_bytes_;
  State state_ = State::kPreamble;
  std::string buffer_ = "\r\n";  // as if a line had ended before the first boundary
  size_t at_ = 0;                // what lies before is done with
};

}  // namespace reform::tool
