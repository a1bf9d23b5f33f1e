#include "storage/disk/absolute_path.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "storage/disk/files.h"

namespace reform {

Result<std::string> absolute_path(const std::string& path) {
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::absolute(path, error);
  if (error) return os_error("find", path, error.value());
  std::filesystem::path found, rest;  // up to the last "..", and behind it
  for (const std::filesystem::path& part : whole) {
    if (part.empty() || part == ".") continue;
    rest /= part;
    if (part == "..") found /= std::exchange(rest, {});
  }
  if (found.empty()) return rest.string();
  const std::filesystem::path real = std::filesystem::canonical(found, error);
  if (error) return os_error("find", found.string(), error.value());
  return (rest.empty() ? real : real / rest).string();
}

}  // namespace reform
