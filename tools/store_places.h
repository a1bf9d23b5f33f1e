// Which paths lie in a store: its own files are no texts, and nothing else is written there.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

namespace reform::tool {

// The directories of the store, if there is one, told by what they are: they have many paths, and contexts/ may be a
// link to another disk.
class StorePlaces {
 public:
  explicit StorePlaces(const std::string& dir);
  bool include(const struct stat& folder) const;
  // Whether `path`, or a directory above it, is one of them. There need not be a file of that name.
  bool hold(const std::string& path) const;

 private:
  std::vector<struct stat> places_;
};

}  // namespace reform::tool
