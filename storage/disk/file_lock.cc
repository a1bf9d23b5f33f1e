#include "storage/disk/file_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <thread>

#include "base/try.h"

namespace reform {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// The caller named a context or nothing, and no directory.
Status lock_error(const std::string& verb, const std::string& path, int error) {
  if (error != EISDIR) return os_error(verb, path, error);
  return {Code::kIo,
          path + ": is a directory where the store keeps a lock file; remove it while nothing uses the store"};
}

Result<FileDescriptor> open_lock_file(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  // On a read-only file system an existing lock file can still be locked.
  int error = errno;
  // A store that cannot be written to may lack the folder, too.
  const std::filesystem::path store = std::filesystem::path(path).parent_path().parent_path();
  if (fd < 0 && error == ENOENT && ::access(store.c_str(), W_OK) != 0) error = errno;
  if (fd < 0 && (error == EROFS || error == EACCES)) fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return lock_error("open lock", path, error);
  return FileDescriptor(fd);
}

// Whether there is no lock file, and this process may not make one.
bool can_have_none(const std::string& path) {
  return is_absent(path) && ::access(std::filesystem::path(path).parent_path().c_str(), W_OK) != 0;
}

// 0, EWOULDBLOCK or another errno.
int try_flock(int fd, int operation) {
  while (::flock(fd, operation) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

// Whether `fd` is still the file at `path`. Its last holder may have unlinked it between our open and our flock.
Result<bool> is_current(int fd, const std::string& path) {
  struct stat ours, current;
  if (::fstat(fd, &ours) != 0) return os_error("look at lock", path, errno);
  if (::stat(path.c_str(), &current) != 0) {
    if (errno == ENOENT) return false;
    return os_error("look at lock", path, errno);  // to start over would meet it again
  }
  return ours.st_ino == current.st_ino && ours.st_dev == current.st_dev;
}

// Whether the lock's holders are readers. Only then may a reader join them.
bool held_by_readers(int fd) {
  if (try_flock(fd, LOCK_SH | LOCK_NB) != 0) return false;
  ::flock(fd, LOCK_UN);
  return true;
}

std::string describe_writer(int fd) {
  char pid[32] = {};
  const ssize_t n = ::pread(fd, pid, sizeof pid - 1, 0);
  const int number = n > 0 ? std::atoi(pid) : 0;
  return number > 0 ? fmt::format("written by process {}", number) : "written by another process";
}

// The file's two lines: the holder's process number, and its note.
constexpr size_t kPidBytes = 12, kNoteBytes = 21;
std::string note_line(const std::string& text) { return fmt::format("{:<{}}\n", text, kNoteBytes - 1); }

// For the message to whoever is refused. Best effort: on a full disk the lock still holds.
void note_holder(int fd, FileLock::Mode mode) {
  if (mode != FileLock::Mode::kExclusive) return;
  const std::string pid = fmt::format("{:<{}}\n", ::getpid(), kPidBytes - 1) + note_line("");
  if (::pwrite(fd, pid.data(), pid.size(), 0) < 0) return;
}

}  // namespace

Status FileLock::leave_note(const std::string& path, const std::string& text) {
  CHECK(text.size() < kNoteBytes);
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return lock_error("open lock", path, errno);
  const std::string line = note_line(text);
  const ssize_t n = ::pwrite(file.get(), line.data(), line.size(), off_t(kPidBytes));
  return n == ssize_t(line.size()) ? Status{} : os_error("write to lock", path, n < 0 ? errno : EIO);
}

Result<std::optional<std::string>> FileLock::holder_note(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid() && errno == ENOENT) return std::optional<std::string>();
  if (!file.valid()) return lock_error("open lock", path, errno);
  const int error = try_flock(file.get(), LOCK_SH | LOCK_NB);
  if (error == 0) return std::optional<std::string>();
  if (error != EWOULDBLOCK) return os_error("lock", path, error);
  char line[kNoteBytes] = {};
  const ssize_t n = ::pread(file.get(), line, sizeof line, off_t(kPidBytes));
  if (n < 0) return lock_error("read lock", path, errno);
  const std::string note(line, size_t(n));
  return std::optional(note.substr(0, note.find_first_of(" \n")));
}

Result<FileLock> FileLock::acquire(const std::string& path, Mode mode, milliseconds patience) {
  const int operation = (mode == Mode::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  const auto deadline = steady_clock::now() + patience;
  while (true) {
    if (mode == Mode::kShared && can_have_none(path)) return FileLock();
    TRY_ASSIGN(FileDescriptor file, open_lock_file(path));
    const int error = try_flock(file.get(), operation);
    if (error == 0) {
      TRY_ASSIGN(const bool current, is_current(file.get(), path));
      if (!current) continue;
      note_holder(file.get(), mode);
      FileLock lock;
      lock.file_ = std::move(file);
      lock.path_ = path;
      return lock;
    }
    if (error != EWOULDBLOCK) return os_error("lock", path, error);
    const bool readers = mode == Mode::kExclusive && held_by_readers(file.get());
    if (!readers) return Status{Code::kBusy, describe_writer(file.get())};
    if (steady_clock::now() >= deadline) return Status{Code::kBusy, "read by another process"};
    std::this_thread::sleep_for(milliseconds(5));
  }
}

Result<FileLock> FileLock::wait(const std::string& path) {
  while (true) {
    TRY_ASSIGN(FileDescriptor file, open_lock_file(path));
    if (const int error = try_flock(file.get(), LOCK_EX); error != 0) return os_error("lock", path, error);
    TRY_ASSIGN(const bool current, is_current(file.get(), path));
    if (!current) continue;
    FileLock lock;
    lock.file_ = std::move(file);
    lock.path_ = path;
    return lock;
  }
}

Status FileLock::unlink_and_release() {
  CHECK(held());
  const int error = ::unlink(path_.c_str()) == 0 ? 0 : errno;
  release();
  return error == 0 || error == ENOENT ? Status{} : os_error("unlink", path_, error);
}

}  // namespace reform
