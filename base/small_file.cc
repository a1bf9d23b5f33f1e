#include "base/small_file.h"

#include <fmt/format.h>
#include <reform/errno_status.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace reform {
Result<std::string> read_small_file(const std::string& path, int64_t max_bytes) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return errno_status(errno, path);
  std::string text(size_t(max_bytes) + 1, '\0');
  in.read(text.data(), std::streamsize(text.size()));
  if (in.bad()) return errno_status(errno, path);
  if (in.gcount() > max_bytes) return Status{Code::kUsage, fmt::format("{}: over {} bytes", path, max_bytes)};
  text.resize(size_t(in.gcount()));
  return text;
}

Status replace_file(const std::string& path, const std::string& contents) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (error) return errno_status(error.value(), folder.string() + ": cannot be made");
  const std::string temporary = fmt::format("{}.{}.tmp", path, getpid());
  std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
  out << contents;
  out.close();
  Status replaced;
  if (!out) {
    replaced = errno_status(errno, temporary + ": cannot be written");
  } else if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    replaced = errno_status(errno, path + ": cannot be replaced");
  }
  if (!replaced.ok()) (void)std::remove(temporary.c_str());
  return replaced;
}

}  // namespace reform
