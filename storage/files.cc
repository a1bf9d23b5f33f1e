#include "storage/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <system_error>

#include "base/try.h"
#include "base/units.h"
#include "storage/bytes.h"
#include "storage/frame.h"

namespace reform {
namespace {

constexpr int64_t kSmallFileBytes = 64 * kMiB;

Status write_all(int fd, const std::string& path, const std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error("write", path, errno);
    done += size_t(n);
  }
  return {};
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& o) noexcept {
  if (this != &o) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = o.release();
  }
  return *this;
}

Status os_error(const std::string& verb, const std::string& path, int error) {
  const Code code = error == ENOSPC || error == EDQUOT ? Code::kNoSpace : error == ENOENT ? Code::kNotFound : Code::kIo;
  return {code, fmt::format("cannot {} {}: {}", verb, path, std::generic_category().message(error))};
}

Result<std::string> read_small_file(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return os_error("open", path, errno);
  std::string bytes;
  char buffer[16384];
  while (true) {
    const ssize_t n = ::read(file.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error("read", path, errno);
    if (n == 0) return bytes;
    bytes.append(buffer, size_t(n));
    if (int64_t(bytes.size()) > kSmallFileBytes) return Status{Code::kCorrupt, path + ": larger than it can be"};
  }
}

Status write_file_atomically(const std::string& path, const std::string& bytes) {
  const std::string temporary = path + ".tmp";
  FileDescriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid()) return os_error("create", temporary, errno);
  Status written = write_all(file.get(), temporary, bytes);
  if (written.ok() && ::fsync(file.get()) != 0) written = os_error("sync", temporary, errno);
  if (written.ok() && ::close(file.release()) != 0) written = os_error("close", temporary, errno);
  if (written.ok()) written = rename_path(temporary, path);
  if (!written.ok()) {
    ::unlink(temporary.c_str());
    return written;
  }
  return sync_directory(std::filesystem::path(path).parent_path().string());
}

Status sync_directory(const std::string& path) {
  const FileDescriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return os_error("open", path, errno);
  // Some file systems do not sync directories and say EINVAL; there is nothing more to do on them.
  if (::fsync(directory.get()) != 0 && errno != EINVAL) return os_error("sync", path, errno);
  return {};
}

Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return {};
  const int error = errno;
  struct stat info;
  if (error == EEXIST && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
  return os_error("make directory", path, error == EEXIST ? ENOTDIR : error);
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

bool path_exists(const std::string& path) {
  struct stat info;
  return ::lstat(path.c_str(), &info) == 0;
}

Status rename_path(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return os_error("rename to " + to + ":", from, errno);
  return {};
}

Status remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return os_error("remove", path, error.value());
  return {};
}

Result<DirectorySize> measure_directory(const std::string& path) {
  TRY_ASSIGN(const auto names, list_directory(path));
  DirectorySize size;
  std::string seen;
  ByteWriter out(seen);
  for (const std::string& name : names) {
    struct stat info;
    if (::lstat((path + "/" + name).c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    size.bytes += int64_t(info.st_size);
    out.text(name);
    out.fixed(int64_t(info.st_size));
    out.fixed(int64_t(info.st_mtim.tv_sec));
    out.fixed(int64_t(info.st_mtim.tv_nsec));
  }
  size.stamp = checksum_bytes(seen);
  return size;
}

}  // namespace reform
