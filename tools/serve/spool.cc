#include "tools/serve/spool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <reform/errno_status.h>
#include <reform/units.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ios>

#include "tools/descriptors.h"

namespace reform::tool {
namespace {

constexpr size_t kSpoolBufferBytes = 64 << 10;

int nameless_file(const std::string& dir) {
  const int fd = ::open(dir.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)) return fd;
  std::string pattern = dir + "/.reform-upload-XXXXXX";  // for a file system without O_TMPFILE
  const int named = ::mkostemp(pattern.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(pattern.c_str());
  return named;
}

Status check_room(const std::string& dir, int64_t bytes) {
  struct statvfs info {};
  if (::statvfs(dir.c_str(), &info) != 0) return {};  // then the write says so
  const auto n_free = double(info.f_bavail) * double(info.f_frsize);
  if (double(bytes) <= n_free) return {};
  return {Code::kNoSpace, fmt::format("the upload has {}, and the disk of the store has {} left", format_bytes(bytes),
                                      format_bytes(int64_t(n_free)))};
}

}  // namespace

Result<Spool> Spool::create(const std::string& dir, int64_t bytes) {
  if (Status s = check_room(dir, bytes); !s.ok()) return s;
  const int fd = nameless_file(dir);
  if (fd < 0) return errno_status(errno, dir + ": a file for an upload");
  std::FILE* file = ::fdopen(fd, "r+");
  if (file == nullptr) return errno_status(errno, dir + ": a file for an upload");
  return Spool(file, dir);
}

Status Spool::append(std::string_view bytes) {
  const int error = write_fully(::fileno(file_.get()), bytes);
  if (error != 0) return errno_status(error, dir_ + ": the file of an upload");
  size_bytes_ += int64_t(bytes.size());
  return {};
}

Result<size_t> Spool::read(int64_t begin, char* bytes, size_t size) const {
  ssize_t n = 0;
  do {
    n = ::pread(::fileno(file_.get()), bytes, size, off_t(begin));
  } while (n < 0 && errno == EINTR);
  if (n < 0) return errno_status(errno, dir_ + ": the file of an upload");
  return size_t(n);
}

SpoolInput::SpoolInput(const Spool& spool, int64_t begin, int64_t end) : spool_(spool), at_(begin), end_(end) {}

SpoolInput::int_type SpoolInput::underflow() {
  const auto n_left = size_t(end_ - at_);
  if (n_left == 0) {
    buffer_ = {};
    setg(nullptr, nullptr, nullptr);
    return traits_type::eof();
  }
  buffer_.resize(kSpoolBufferBytes);
  const auto n = spool_.read(at_, buffer_.data(), std::min(buffer_.size(), n_left));
  // The istream catches it and sets badbit: half a text must not pass for the whole.
  if (!n.ok() || n.value() == 0) throw std::ios_base::failure("read");
  at_ += int64_t(n.value());
  setg(buffer_.data(), buffer_.data(), buffer_.data() + n.value());
  return traits_type::to_int_type(buffer_[0]);
}

}  // namespace reform::tool
