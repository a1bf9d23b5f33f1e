#include "runtime/engine/directories.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

namespace reform {
namespace {

// Relative values are ignored: a store must not depend on where a command is run.
std::string absolute_variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && value[0] == '/' ? value : "";
}

std::string home() {
  if (std::string dir = absolute_variable("HOME"); !dir.empty()) return dir;
  std::vector<char> room(16 * 1024);
  passwd entry{}, *found = nullptr;
  if (::getpwuid_r(::getuid(), &entry, room.data(), room.size(), &found) != 0 || found == nullptr) return "";
  return found->pw_dir != nullptr && found->pw_dir[0] == '/' ? found->pw_dir : "";
}

std::string xdg_dir(const char* variable, const char* below_home) {
  if (const std::string dir = absolute_variable(variable); !dir.empty()) return dir + "/reform";
  const std::string dir = home();
  return dir.empty() ? "" : fmt::format("{}/{}/reform", dir, below_home);
}

}  // namespace

std::string default_cache_dir() { return xdg_dir("XDG_CACHE_HOME", ".cache"); }
std::string default_data_dir() { return xdg_dir("XDG_DATA_HOME", ".local/share"); }

Status no_data_dir() {
  return {Code::kUsage,
          fmt::format("no home directory is known for user {}, so there is no default store: name one with "
                      "--store, or set HOME or XDG_DATA_HOME to an absolute path",
                      ::getuid())};
}

}  // namespace reform
