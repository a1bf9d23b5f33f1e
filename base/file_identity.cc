#include "base/file_identity.h"

#include <fmt/format.h>

#include <cerrno>
#include <system_error>

namespace reform {
namespace {

int64_t nanoseconds(const timespec& time) { return int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec; }

}  // namespace

FileIdentity FileIdentity::of(const struct stat& info) {
  return {uint64_t(info.st_dev), uint64_t(info.st_ino), int64_t(info.st_size), nanoseconds(info.st_mtim),
          nanoseconds(info.st_ctim)};
}

std::string to_string(const FileIdentity& i) {
  return fmt::format("{}:{} {} {} {}", i.device, i.inode, i.size_bytes, i.written_ns, i.changed_ns);
}

std::string difference(const FileIdentity& before, const FileIdentity& now) {
  if (now == before) return "";
  if (now.device != before.device || now.inode != before.inode) return "was replaced by another file";
  if (now.size_bytes < before.size_bytes)
    return fmt::format("was cut from {} bytes to {}", before.size_bytes, now.size_bytes);
  if (now.size_bytes > before.size_bytes)
    return fmt::format("grew from {} bytes to {}", before.size_bytes, now.size_bytes);
  return now.written_ns != before.written_ns ? "was written to" : "was changed (its owner, mode, name or times)";
}

std::string difference(const FileIdentity& before, const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) == 0) return difference(before, FileIdentity::of(info));
  return errno == ENOENT ? "was removed or renamed"
                         : "can no longer be examined: " + std::generic_category().message(errno);
}

}  // namespace reform
