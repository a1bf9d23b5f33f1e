#include "storage/disk/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <reform/errno_status.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>

#include "base/try.h"
#include "storage/format/bytes.h"
#include "storage/format/frame.h"

namespace reform {

namespace {

// Whether an errno says that there is no such file. Any other says only that it could not be looked at.
bool is_nothing(int error) { return error == ENOENT || error == ENOTDIR; }

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

int FileDescriptor::close() { return !valid() || ::close(release()) == 0 ? 0 : errno; }

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& o) noexcept {
  if (this != &o) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = o.release();
  }
  return *this;
}

Status os_error(const std::string& verb, const std::string& path, int error) {
  return errno_status(error, fmt::format("cannot {} {}", verb, path));
}

Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return {};
  const int error = errno;
  struct stat info;
  if (error != EEXIST) return os_error("make directory", path, error);
  if (::stat(path.c_str(), &info) != 0) return os_error("follow the link", path, errno);
  if (S_ISDIR(info.st_mode)) return {};
  return {Code::kUsage, path + ": is a file, not a directory"};
}

Status claim_name(const std::string& path, uint32_t mode) {
  const FileDescriptor made(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  return made.valid() ? Status{} : os_error("create", path, errno);
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
  struct CloseDir {
    void operator()(DIR* d) const noexcept { ::closedir(d); }
  };
  const std::unique_ptr<DIR, CloseDir> directory(::opendir(path.c_str()));
  if (directory == nullptr) return os_error("list", path, errno);
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  if (errno != 0) return os_error("list", path, errno);
  std::sort(names.begin(), names.end());
  return names;
}

Result<int64_t> file_bytes(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return os_error("look at", path, errno);
  return int64_t(info.st_size);
}

Result<bool> path_exists(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) == 0) return true;
  if (is_nothing(errno)) return false;
  return os_error("look at", path, errno);
}

bool is_absent(const std::string& path) {
  const auto there = path_exists(path);
  return there.ok() && !there.value();
}

Result<DirectorySize> measure_directory(const std::string& path) {
  TRY_ASSIGN(const auto names, list_directory(path));
  DirectorySize size;
  std::string seen;
  ByteWriter out(seen);
  for (const std::string& name : names) {
    struct stat info;
    const std::string inside = path + "/" + name;
    const int error = ::lstat(inside.c_str(), &info) == 0 ? 0 : errno;
    if (error != 0 && !is_nothing(error)) return os_error("look at", inside, error);
    if (error != 0 || !S_ISREG(info.st_mode)) continue;
    size.bytes += int64_t(info.st_size);
    if (name.starts_with("use.json")) continue;  // a pin or a question does not change the context
    out.text(name);
    out.fixed(int64_t(info.st_size));
    out.fixed(int64_t(info.st_mtim.tv_sec));
    out.fixed(int64_t(info.st_mtim.tv_nsec));
  }
  size.stamp = checksum_bytes(seen);
  return size;
}

int64_t tree_bytes(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) return is_nothing(errno) ? 0 : kUnreadableBytes;
  int64_t bytes = std::max(int64_t(S_ISREG(info.st_mode) ? info.st_size : 0), int64_t(info.st_blocks) * 512);
  if (!S_ISDIR(info.st_mode)) return bytes;
  const auto names = list_directory(path);
  if (!names.ok()) return names.status().code == Code::kNotFound ? bytes : kUnreadableBytes;
  for (const std::string& name : names.value()) bytes += tree_bytes(path + "/" + name);
  return bytes;
}

int64_t block_bytes_at(const std::string& path) {
  struct statvfs info;
  constexpr int64_t kUsual = 4096, kMost = int64_t{1} << 20;
  if (::statvfs(path.c_str(), &info) != 0 || info.f_frsize == 0) return kUsual;
  return std::clamp(int64_t(info.f_frsize), kUsual, kMost);
}

}  // namespace reform
