// Whether a file has anything to read: a character that is not blank (base/blank.h).
#pragma once

#include <reform/status.h>

#include <memory>
#include <string>
#include <string_view>

#include "runtime/text/text_decoder.h"

namespace reform {

class TextFinder {
 public:
  void look(std::string_view block);  // the file's next bytes, in UTF-8; a block may end within a character
  void end() { found_ = found_ || !open_.empty(); }  // a character that the file cuts off is no blank
  bool found() const { return found_; }

 private:
  bool found_ = false;
  std::string open_;  // the start of a character at the end of the last block
};

// The same for a file in any encoding. What is not in the encoding counts as text, for its reader to refuse.
class EncodedTextFinder {
 public:
  static Result<EncodedTextFinder> create(const std::string& encoding);
  Status look(std::string_view bytes, bool at_end);
  bool found() const { return finder_.found(); }

 private:
  TextFinder finder_;
  std::unique_ptr<TextDecoder> decoder_;  // none for UTF-8
};

}  // namespace reform
