#include "tools/store_places.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace reform::tool {

namespace fs = std::filesystem;

StorePlaces::StorePlaces(const std::string& dir) {
  std::error_code error;
  if (dir.empty() || !fs::is_directory(dir + "/contexts", error)) return;
  for (const char* folder : {"", "/contexts", "/locks", "/trash"}) {
    struct stat info;
    if (::stat((dir + folder).c_str(), &info) == 0) places_.push_back(info);
  }
}

bool StorePlaces::include(const struct stat& folder) const {
  return std::any_of(places_.begin(), places_.end(), [&](const struct stat& place) {
    return place.st_dev == folder.st_dev && place.st_ino == folder.st_ino;
  });
}

bool StorePlaces::hold(const std::string& path) const {
  if (places_.empty()) return false;
  std::error_code error;
  for (fs::path at = fs::weakly_canonical(fs::absolute(path, error), error); !error && !at.empty();
       at = at.parent_path()) {
    struct stat info;
    if (::stat(at.c_str(), &info) == 0 && include(info)) return true;
    if (!at.has_relative_path()) break;
  }
  return false;
}

}  // namespace reform::tool
