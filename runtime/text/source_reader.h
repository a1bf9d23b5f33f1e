// The joined text of several files or streams, read in blocks, one file open at a time. It is hashed, counted, and
// checked to be UTF-8 file by file. A file that changes while it is read is an error: half of one text and half of
// another is no text.
#pragma once

#include <reform/cancel.h>
#include <reform/ingest.h>
#include <reform/status.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_identity.h"
#include "base/hash.h"
#include "runtime/text/offset_map.h"
#include "runtime/text/progress_state.h"
#include "runtime/text/text_decoder.h"
#include "runtime/text/text_finder.h"
#include "storage/disk/files.h"

namespace reform {

class SourceReader {
 public:
  // Looks at every path, and opens it once if the caller has not, so that one that cannot be read, or has nothing to
  // read, shows before work is done. first_byte: where these sources begin in the joined text. lossy: invalid bytes are
  // accepted. encoding: as canonical_encoding() gives it; if not "", next() gives the text in UTF-8, and offsets()
  // where it comes from.
  static Result<std::unique_ptr<SourceReader>> open(const std::vector<IngestSource>& sources, int64_t first_byte,
                                                    bool lossy, const CancelToken* cancel = nullptr,
                                                    const std::string& encoding = "");
  // Gives the bytes as they are, to compare them with others. Looks at the files as open() does.
  static Result<std::unique_ptr<SourceReader>> open_bytes(const std::vector<IngestSource>& sources,
                                                          const std::string& encoding, const CancelToken* cancel);

  // Host memory of reading these sources, whatever is in them: that of their names, and a fixed part.
  static int64_t most_bytes(const std::vector<IngestSource>& sources, bool converts);
  // Of a block, in UTF-8.
  static constexpr int64_t kMostBlockBytes = 64 * 1024;

  // The next block; empty at the end. kBadText names the file and the byte, or what became of the file, or says that
  // the file was empty or blank. kIo: a read failed. kCancelled.
  Result<std::string_view> next();
  // kBadText if a file has changed since open(), read or not.
  Status check_unchanged() const;

  bool saw_text() const { return text_.found(); }  // whether the current source was not blank so far
  bool converts() const { return decoder_ != nullptr; }
  OffsetMap& offsets() { return offsets_; }  // of the converted text that nobody has taken yet
  int64_t bytes_read() const { return bytes_read_; }
  int64_t total_bytes() const { return total_bytes_; }             // -1: one of them is a stream
  std::string hash() const { return hash_.hex(); }                 // of what was read so far
  const std::vector<SourceFile>& files() const { return files_; }  // those begun so far

 private:
  struct Input {
    std::string name;
    std::istream* stream = nullptr;        // instead of a file
    std::optional<FileIdentity> identity;  // of a regular file that is not empty; /proc has files that seem so
  };
  static Result<Input> examine(const IngestSource& source, const std::string& encoding);
  Status add(const std::vector<IngestSource>& sources, const std::string& encoding);
  Result<size_t> read_some(const Input& input);
  Result<size_t> read_file(const Input& input);
  Status end_file(const Input& input);
  Status check_utf8(std::string_view block, bool at_end);
  Status convert(std::string_view block);

  std::vector<Input> inputs_;
  size_t current_ = 0;
  FileDescriptor file_;  // the current input's
  bool lossy_ = false, bytes_only_ = false;
  const CancelToken* cancel_ = nullptr;
  int64_t first_byte_ = 0, bytes_read_ = 0, total_bytes_ = 0;
  RunningHash hash_;
  std::vector<SourceFile> files_;
  std::string buffer_;
  std::string cut_;                       // the start of a character at the end of the last block
  std::string start_;                     // the current file's first bytes, for messages
  TextFinder text_;                       // of the current input
  std::unique_ptr<TextDecoder> decoder_;  // nullptr: the text is UTF-8
  std::string converted_;                 // the last block
  OffsetMap offsets_;
};

}  // namespace reform
