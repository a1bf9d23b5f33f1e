#include "storage/disk/new_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <reform/errno_status.h>
#include <rocksdb/file_system.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <random>
#include <system_error>
#include <utility>

#include "base/try.h"
#include "storage/disk/files.h"

namespace reform {
namespace {

namespace fs = std::filesystem;

Status check_place(const std::string& path, bool replace) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) return {};
  if (error) return os_error("look at", path, error.value());
  if (fs::is_directory(status)) return {Code::kUsage, fmt::format("{}: is a directory; name a file", path)};
  // Renaming over a device or pipe would remove it.
  if (!fs::is_regular_file(status)) return {Code::kUsage, fmt::format("{}: is not a regular file", path)};
  if (!replace) return {Code::kExists, fmt::format("{}: the file exists", path)};
  return {};
}

constexpr size_t kRandomDigits = 8;
constexpr std::string_view kPartial = ".partial";

// Takes the lock on a temporary file that nobody writes to; not valid if somebody does.
FileDescriptor lock_temporary(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (file.valid() && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return file;
  return FileDescriptor();
}

bool is_temporary_of(const std::string& name, const std::string& target) {
  const std::string begin = target + ".";
  if (name.size() != begin.size() + kRandomDigits + kPartial.size()) return false;
  return name.starts_with(begin) && name.ends_with(kPartial) &&
         name.find_first_not_of("0123456789abcdef", begin.size()) == begin.size() + kRandomDigits;
}

// Best effort.
void remove_left_over(const Disk& disk, const fs::path& target) {
  const auto names = list_directory(target.parent_path().string());
  if (!names.ok()) return;
  for (const std::string& name : names.value()) {
    if (!is_temporary_of(name, target.filename().string())) continue;
    const std::string path = (target.parent_path() / name).string();
    if (lock_temporary(path).valid()) (void)disk.files().DeleteFile(path, {}, nullptr).ok();
  }
}

}  // namespace

NewFile::NewFile(const Disk& disk, std::string path, bool replace)
    : disk_(&disk),
      path_(std::move(path)),
      temporary_(fmt::format("{}.{:08x}{}", path_, std::random_device()(), kPartial)),
      replace_(replace) {}
NewFile::NewFile(NewFile&& o) noexcept = default;

NewFile::~NewFile() {
  if (file_ == nullptr) return;
  (void)file_->Close({}, nullptr).ok();
  (void)disk_->files().DeleteFile(temporary_, {}, nullptr).ok();
}

Result<NewFile> NewFile::create(const Disk& disk, const std::string& path, bool replace) {
  TRY(check_place(path, replace));
  std::error_code error;
  const fs::path target = fs::canonical(path, error);  // replaces what a link leads to, not the link
  NewFile made(disk, error ? fs::absolute(path).string() : target.string(), replace);
  remove_left_over(disk, made.path_);
  TRY(claim_name(made.temporary_, 0644));
  made.lock_ = lock_temporary(made.temporary_);
  TRY(disk_status(disk.files().NewWritableFile(made.temporary_, writing_options(), &made.file_, nullptr), "create",
                  made.temporary_));
  return made;
}

Status NewFile::append(std::span<const std::byte> bytes) {
  const rocksdb::Slice slice(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return disk_status(file_->Append(slice, {}, nullptr), "write", temporary_);
}

Status NewFile::commit() {
  TRY(disk_status(file_->Sync({}, nullptr), "sync", temporary_));
  TRY(disk_status(file_->Close({}, nullptr), "close", temporary_));
  // A link fails if a file has appeared meanwhile. Some file systems have no links.
  const bool linked = !replace_ && disk_->files().LinkFile(temporary_, path_, {}, nullptr).ok();
  if (linked) {
    TRY(disk_status(disk_->files().DeleteFile(temporary_, {}, nullptr), "remove", temporary_));
  } else {
    TRY(check_place(path_, replace_));
    TRY(disk_->rename_path(temporary_, path_));
  }
  file_.reset();
  return disk_->sync_directory(fs::path(path_).parent_path().string());
}

Result<ByteSource> open_byte_source(const Disk& disk, const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return errno_status(errno, path);
  if (S_ISDIR(info.st_mode)) return errno_status(EISDIR, path);
  if (::access(path.c_str(), R_OK) != 0) return errno_status(errno, path);
  std::unique_ptr<rocksdb::FSSequentialFile> opened;
  TRY(disk_status(disk.files().NewSequentialFile(path, {}, &opened, nullptr), "open", path));
  std::shared_ptr<rocksdb::FSSequentialFile> file = std::move(opened);
  return ByteSource([file, path](std::span<std::byte> buffer) -> Result<int64_t> {
    rocksdb::Slice got;
    auto* const scratch = reinterpret_cast<char*>(buffer.data());
    TRY(disk_status(file->Read(buffer.size(), {}, &got, scratch, nullptr), "read", path));
    if (got.data() != scratch) std::memmove(scratch, got.data(), got.size());
    return int64_t(got.size());
  });
}

}  // namespace reform
