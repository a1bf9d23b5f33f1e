// A directory for a test, removed at the end.
#pragma once

#include <string>

namespace reform::test {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string path(const std::string& below = "") const { return below.empty() ? path_ : path_ + "/" + below; }

 private:
  std::string path_;
};

}  // namespace reform::test
