#include "tools/descriptors.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace reform::tool {

void fill_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number is `fd`. Each is opened for the direction in which it is not used.
    const int filler = ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (filler < 0) (void)::open("/", O_RDONLY | O_DIRECTORY);  // of no use either
  }
}

int write_fully(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n > 0) {
      bytes.remove_prefix(size_t(n));
    } else if (n == 0) {
      return EIO;
    } else if (errno == EAGAIN) {
      pollfd room{fd, POLLOUT, 0};
      ::poll(&room, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

int late_write_error(int fd) {
  const int copy = ::dup(fd);
  return copy >= 0 && ::close(copy) != 0 ? errno : 0;
}

std::string stream_into(const std::string& path) {
  struct stat there, open;
  if (::stat(path.c_str(), &there) != 0) return "";
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    if (::fstat(fd, &open) != 0 || open.st_dev != there.st_dev || open.st_ino != there.st_ino) continue;
    if (S_ISCHR(open.st_mode) && ::isatty(fd) == 0) continue;  // /dev/null
    return fd == STDOUT_FILENO ? "standard output" : "standard error";
  }
  return "";
}

}  // namespace reform::tool
