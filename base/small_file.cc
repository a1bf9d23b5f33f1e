#include "base/small_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/errno_status.h"

namespace reform {
Result<std::string> read_small_file(const std::string& path, int64_t max_bytes) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return errno_status(errno, path);
  std::string text(size_t(max_bytes) + 1, '\0');
  in.read(text.data(), std::streamsize(text.size()));
  if (in.bad()) return Status{Code::kIo, fmt::format("{}: cannot be read", path)};
  if (in.gcount() > max_bytes) return Status{Code::kUsage, fmt::format("{}: over {} bytes", path, max_bytes)};
  text.resize(size_t(in.gcount()));
  return text;
}

Status replace_file(const std::string& path, const std::string& contents) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  const std::string temporary = fmt::format("{}.{}.tmp", path, getpid());
  std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
  out << contents;
  out.close();
  if (!out) return {Code::kIo, fmt::format("{}: cannot be written: {}", temporary, std::strerror(errno))};
  std::filesystem::rename(temporary, path, error);
  if (error) return {Code::kIo, fmt::format("{}: {}", path, error.message())};
  return {};
}

}  // namespace reform
