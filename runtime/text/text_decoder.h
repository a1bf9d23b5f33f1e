// Converts a file's bytes to UTF-8 by the C library's iconv, character by character, so that offsets can be those of
// the file.
#pragma once

#include <reform/status.h>
#include <reform/text.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/text/offset_map.h"

namespace reform {

struct Iconv;

// Upper case; "" for UTF-8. same_encoding.h tells whether two of them mean the same.
std::string canonical_encoding(const std::string& encoding);
// For messages: "UTF-8" instead of "".
std::string shown_encoding(const std::string& canonical);

class TextDecoder {
 public:
  // kUsage: unknown. lossy: bytes that are not in the encoding become U+FFFD.
  static Result<std::unique_ptr<TextDecoder>> create(const std::string& encoding, bool lossy);
  ~TextDecoder();
  TextDecoder(const TextDecoder&) = delete;
  TextDecoder& operator=(const TextDecoder&) = delete;

  // Begins a file, which messages call `name`.
  Status begin(const std::string& name);
  // Appends the characters that are complete, without a byte order mark at the file's beginning. kBadText names the
  // byte of the file.
  Status decode(std::string_view bytes, bool at_end, std::string& text, OffsetMap& map);

 private:
  TextDecoder(std::string encoding, bool lossy);
  // Converts one character at `at`. Returns the bytes taken, 0: the character is cut off there, -1: it is none. The
  // text may be that of the bytes before, as a letter can wait for its mark.
  int64_t step(size_t at, std::string& text, OffsetMap& map);
  void put(const uint32_t* points, size_t n_points, int64_t n_raw, std::string& text, OffsetMap& map);
  void give_last(std::string& text, OffsetMap& map);
  void put_kept_back(std::string& text, OffsetMap& map);  // such a letter, at the end or before an error
  Status bad(size_t at, bool cut) const;

  const std::string encoding_;
  const bool lossy_;
  const size_t unit_bytes_;
  const bool keeps_back_;
  std::unique_ptr<Iconv> iconv_;
  std::string name_;
  std::string pending_;    // not converted yet
  int64_t n_decoded_ = 0;  // bytes of the file before pending_
  bool at_start_ = true;
  // The last character waits for the next one: bytes without text, such as an escape, belong to the character after
  // them, but at the file's end to the one before, or else the next file's text would begin in this file.
  std::string last_;
  int64_t last_raw_ = 0, textless_raw_ = 0;  // bytes of it, and after it
};

}  // namespace reform
