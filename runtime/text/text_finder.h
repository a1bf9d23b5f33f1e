// Whether a file has anything to read: a character that is no white space.
#pragma once

#include <string>
#include <string_view>

namespace reform {

class TextFinder {
 public:
  void look(std::string_view block);  // the file's next bytes; a block may end within a character
  bool found() const { return found_; }

 private:
  bool found_ = false;
  std::string open_;  // the start of a character at the end of the last block
};

}  // namespace reform
