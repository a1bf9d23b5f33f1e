// Looks at what is on the disk, and does what storage/disk/disk.h has no function for.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <string>
#include <vector>

namespace reform {

// An open descriptor that is closed once.
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
  int close();  // 0, or the errno of a late write error

 private:
  int fd_;
};

// The Status of an errno (<reform/errno_status.h>): "cannot <verb> <path>: why".
Status os_error(const std::string& verb, const std::string& path, int error);

Status make_directory(const std::string& path);  // mode 0700; ok if it exists
// Makes an empty file. It must not exist yet, so that nothing another put under the name is written through.
Status claim_name(const std::string& path, uint32_t mode);
Result<std::vector<std::string>> list_directory(const std::string& path);  // names, sorted, without . and ..
Result<int64_t> file_bytes(const std::string& path);
// False only where nothing has that name. What the system refuses to look at may be there, so that is an error.
Result<bool> path_exists(const std::string& path);
bool is_absent(const std::string& path);  // for certain

struct DirectorySize {
  int64_t bytes = 0;   // of the regular files directly in it
  uint64_t stamp = 0;  // changes when a file comes, goes, or changes its size or time; use.json does not count
};
// Files that vanish meanwhile do not count; what the system refuses to look at is an error.
Result<DirectorySize> measure_directory(const std::string& path);

// What `path` and everything below it take. Each file and directory counts its size or its allocated blocks, whichever
// is more. What vanishes meanwhile does not count. What cannot be looked at or read counts kUnreadableBytes, so that
// it fits below no cap.
constexpr int64_t kUnreadableBytes = int64_t{1} << 56;
int64_t tree_bytes(const std::string& path);
int64_t block_bytes_at(const std::string& path);  // of the file system at `path`

}  // namespace reform
