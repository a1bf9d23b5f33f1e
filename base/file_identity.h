// Which file a path names and in which state, as far as the system tells. Another identity means that someone has
// written to the file or put another in its place.
#pragma once

#include <reform/status.h>
#include <sys/stat.h>

#include <cstdint>
#include <string>

namespace reform {

struct FileIdentity {
  uint64_t device = 0, inode = 0;
  int64_t size_bytes = 0;
  int64_t written_ns = 0, changed_ns = 0;  // mtime and ctime, since 1970

  static FileIdentity of(const struct stat& info);
  bool operator==(const FileIdentity&) const = default;
};

// All of it, on one line. For keys of caches.
std::string to_string(const FileIdentity& identity);

// What became of a file: "was cut from 20,600,000 bytes to 300,000". "": nothing.
std::string difference(const FileIdentity& before, const FileIdentity& now);
// The same for what the path names now: "was removed or renamed".
std::string difference(const FileIdentity& before, const std::string& path);

}  // namespace reform
