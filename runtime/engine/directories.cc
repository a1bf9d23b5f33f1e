#include "runtime/engine/directories.h"

#include <cstdlib>

namespace reform {
namespace {

std::string xdg_dir(const char* variable, const char* below_home) {
  // The XDG base directory specification: a relative value is ignored.
  if (const char* dir = std::getenv(variable); dir != nullptr && dir[0] == '/') return std::string(dir) + "/reform";
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr && home[0] != '\0' ? home : "/tmp") + "/" + below_home + "/reform";
}

}  // namespace

std::string default_cache_dir() { return xdg_dir("XDG_CACHE_HOME", ".cache"); }
std::string default_data_dir() { return xdg_dir("XDG_DATA_HOME", ".local/share"); }

}  // namespace reform
