// The few things the store asks of the operating system beside RocksDB: whole small files, directories, and their sync.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <string>
#include <vector>

namespace reform {

// An open descriptor, closed once.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& o) noexcept : fd_(o.release()) {}
  FileDescriptor& operator=(FileDescriptor&& o) noexcept;
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

// The Status of an errno: kNoSpace for ENOSPC and EDQUOT, kNotFound for ENOENT, else kIo. "cannot <verb> <path>: why"
Status os_error(const std::string& verb, const std::string& path, int error);

Result<std::string> read_small_file(const std::string& path);  // kCorrupt past 64 MiB: ours are small
// All or nothing, durable when it returns: a temporary file, synced, renamed over `path`, its directory synced.
Status write_file_atomically(const std::string& path, const std::string& bytes);
Status sync_directory(const std::string& path);
Status make_directory(const std::string& path);                            // mode 0700; fine if it is there
Result<std::vector<std::string>> list_directory(const std::string& path);  // names, sorted, without . and ..
Result<int64_t> file_bytes(const std::string& path);
bool path_exists(const std::string& path);
Status rename_path(const std::string& from, const std::string& to);
Status remove_tree(const std::string& path);  // fine if it is gone

struct DirectorySize {
  int64_t bytes = 0;   // of the regular files directly in it
  uint64_t stamp = 0;  // changes when a file comes, goes, or changes its size or time
};
// Files that vanish meanwhile are left out.
Result<DirectorySize> measure_directory(const std::string& path);

}  // namespace reform
