// The joined text of several files or streams, read in blocks. It is hashed, counted, and checked to be UTF-8 file by
// file.
#pragma once

#include <reform/cancel.h>
#include <reform/ingest.h>
#include <reform/status.h>

#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "runtime/text/progress_state.h"

namespace reform {

class SourceReader {
 public:
  // Opens every path at once, so that a missing file shows before work is done. first_byte: where these sources begin
  // in the joined text. lossy: invalid UTF-8 is accepted.
  static Result<std::unique_ptr<SourceReader>> open(const std::vector<IngestSource>& sources, int64_t first_byte,
                                                    bool lossy, const CancelToken* cancel = nullptr);

  // The next block; empty at the end. kBadText names the file and the byte. kIo: a read failed. kCancelled.
  Result<std::string_view> next();

  int64_t bytes_read() const { return bytes_read_; }
  int64_t total_bytes() const { return total_bytes_; }             // -1: one of them is a stream
  std::string hash() const { return hash_.hex(); }                 // of what was read so far
  const std::vector<SourceFile>& files() const { return files_; }  // those begun so far

 private:
  struct Open {
    std::string name;
    std::unique_ptr<std::ifstream> file;
    std::istream* stream = nullptr;
  };
  Status check_utf8(std::string_view block, bool at_end);

  std::vector<Open> sources_;
  size_t current_ = 0;
  bool lossy_ = false;
  const CancelToken* cancel_ = nullptr;
  int64_t first_byte_ = 0, bytes_read_ = 0, total_bytes_ = 0;
  RunningHash hash_;
  std::vector<SourceFile> files_;
  std::string buffer_;
  std::string cut_;  // the start of a character at the end of the last block
};

}  // namespace reform
