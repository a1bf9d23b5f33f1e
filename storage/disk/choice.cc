// Chooses the way to the disk by trying it. The kernel's version does not tell, as containers and file systems refuse
// too.
#include <fcntl.h>
#include <fmt/format.h>
#include <rocksdb/file_system.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>

#include "base/try.h"
#include "storage/disk/disk.h"
#include "storage/disk/files.h"
#include "storage/disk/uring/file_system.h"
#include "storage/disk/uring/ring.h"

namespace reform {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

std::string existing_ancestor(const std::string& dir) {
  std::error_code error;
  std::filesystem::path path = std::filesystem::absolute(dir, error);
  while (!error && !path.empty() && path != path.root_path() && !std::filesystem::is_directory(path, error)) {
    path = path.parent_path();
    error.clear();
  }
  return path.empty() ? "/" : path.string();
}

// A file without a name in `dir`. It disappears when it is closed.
FileDescriptor nameless_file(const std::string& dir, int flags) {
  FileDescriptor file(::open(dir.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | flags, 0600));
  if (file.valid() || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)) return file;
  std::string pattern = dir + "/.reform-probe-XXXXXX";  // for a file system without O_TMPFILE
  file = FileDescriptor(::mkostemp(pattern.data(), O_CLOEXEC | flags));
  if (file.valid()) ::unlink(pattern.c_str());
  return file;
}

// Writes a block in `dir` and reads it back. Returns the errno of a refusal. Nothing: all went well, or it cannot be
// tried (the directory is not ours to write to, or the disk is full); then files are later opened as well as they can
// be.
std::optional<int> try_io(const std::string& dir, int flags) {
  const FileDescriptor file = nameless_file(dir, flags);
  if (!file.valid()) return errno == EINVAL ? std::optional(EINVAL) : std::nullopt;
  constexpr auto kBytes = size_t(kDirectAlignment);
  alignas(kBytes) char memory[kBytes];
  std::memset(memory, 0x5a, kBytes);
  IoRequest request = IoRequest::write(file.get(), 0, memory, kBytes);
  run_io({&request, 1});
  if (request.error == ENOSPC || request.error == EDQUOT) return std::nullopt;
  if (request.error != 0) return request.error;
  std::memset(memory, 0, kBytes);
  request = IoRequest::read(file.get(), 0, memory, kBytes, kDirectAlignment);
  run_io({&request, 1});
  const char last = memory[kBytes - 1];
  return request.error != 0 ? std::optional(request.error) : last != 0x5a ? std::optional(EIO) : std::nullopt;
}

}  // namespace

std::shared_ptr<const Disk> Disk::fastest(const std::string& dir) {
  const std::string place = existing_ancestor(dir);
  auto refusal = ring_refusal();
  if (!refusal) refusal = try_io(place, 0);
  if (refusal) {
    const std::string why = fmt::format("io_uring is refused here ({})", reason(*refusal));
    return std::make_shared<const Disk>(rocksdb::FileSystem::Default(), false, "plain system calls: " + why,
                                        why + ": the store is read by plain system calls, more slowly");
  }
  auto files = make_uring_file_system(rocksdb::FileSystem::Default());
  if (const auto no_direct = try_io(place, O_DIRECT)) {
    const std::string why = fmt::format("{} refuses O_DIRECT ({})", place, reason(*no_direct));
    return std::make_shared<const Disk>(std::move(files), false, "io_uring, buffered: " + why,
                                        why + ": index scans pass through the page cache");
  }
  return std::make_shared<const Disk>(std::move(files), true, "io_uring, O_DIRECT");
}

Result<std::shared_ptr<const Disk>> Disk::chosen(const std::string& dir) {
  const char* value = std::getenv("REFORM_IO");
  const std::string wish = value == nullptr || *value == '\0' ? "auto" : value;
  if (wish == "plain") return plain();
  if (wish != "auto" && wish != "uring") {
    return Status{Code::kUsage, fmt::format("REFORM_IO is \"{}\": auto, plain or uring are possible", wish)};
  }
  auto disk = fastest(dir);
  if (wish == "uring" && &disk->files() == rocksdb::FileSystem::Default().get()) {
    return Status{Code::kUnavailable, "REFORM_IO=uring: " + disk->remark()};
  }
  return disk;
}

}  // namespace reform
