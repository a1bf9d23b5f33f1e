#include "storage/disk/new_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <reform/errno_status.h>
#include <rocksdb/file_system.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
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
  if (status.type() == fs::file_type::not_found) {
    if (replace || !fs::is_symlink(fs::symlink_status(path, error))) return {};
    return {Code::kExists, fmt::format("{}: a link is there that leads to nothing", path)};
  }
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

// What a temporary name begins with: the file's name and a dot. Of a long name it is as many whole characters as leave
// room for the rest.
std::string temporary_begin(const fs::path& target) {
  std::string name = target.filename().string();
  const int64_t most_bytes = ::pathconf(target.parent_path().c_str(), _PC_NAME_MAX);
  const size_t rest = 1 + kRandomDigits + kPartial.size();
  size_t kept = size_t(std::max<int64_t>(most_bytes < 0 ? NAME_MAX : most_bytes, int64_t(2 * rest))) - rest;
  if (kept < name.size()) {
    while (kept > 0 && (static_cast<unsigned char>(name[kept]) & 0xc0) == 0x80) --kept;
    name.resize(kept);
  }
  return name + ".";
}

bool is_temporary(const std::string& name, const std::string& begin) {
  if (name.size() != begin.size() + kRandomDigits + kPartial.size()) return false;
  return name.starts_with(begin) && name.ends_with(kPartial) &&
         name.find_first_not_of("0123456789abcdef", begin.size()) == begin.size() + kRandomDigits;
}

// By which an open file without a name can be opened and linked.
std::string path_of(const FileDescriptor& file) { return fmt::format("/proc/self/fd/{}", file.get()); }

// Best effort.
void remove_left_over(const Disk& disk, const fs::path& target) {
  const auto names = list_directory(target.parent_path().string());
  if (!names.ok()) return;
  const std::string begin = temporary_begin(target);
  for (const std::string& name : names.value()) {
    if (!is_temporary(name, begin)) continue;
    const std::string path = (target.parent_path() / name).string();
    if (lock_temporary(path).valid()) (void)disk.files().DeleteFile(path, {}, nullptr).ok();
  }
}

}  // namespace

NewFile::NewFile(const Disk& disk, std::string path, bool replace)
    : disk_(&disk),
      path_(std::move(path)),
      temporary_(fs::path(path_).parent_path() /
                 fmt::format("{}{:08x}{}", temporary_begin(path_), std::random_device()(), kPartial)),
      replace_(replace) {}
NewFile::NewFile(NewFile&& o) noexcept
    : disk_(o.disk_),
      path_(std::move(o.path_)),
      temporary_(std::move(o.temporary_)),
      replace_(o.replace_),
      named_(std::exchange(o.named_, false)),
      draft_(std::move(o.draft_)),
      file_(std::move(o.file_)) {}

NewFile::~NewFile() {
  if (file_ != nullptr) (void)file_->Close({}, nullptr).ok();
  if (named_) (void)disk_->files().DeleteFile(temporary_, {}, nullptr).ok();
}

Result<NewFile> NewFile::create(const Disk& disk, const std::string& path, bool replace, Draft draft) {
  TRY(check_place(path, replace));
  std::error_code error;
  const fs::path target = fs::canonical(path, error);  // replaces what a link leads to, not the link
  NewFile made(disk, error ? fs::absolute(path).string() : target.string(), replace);
  remove_left_over(disk, made.path_);
  if (draft == Draft::kNameless) made.begin_nameless();
  if (made.file_ == nullptr) TRY(made.begin_named());
  return made;
}

void NewFile::begin_nameless() {
  const std::string folder = fs::path(path_).parent_path().string();
  draft_ = FileDescriptor(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644));
  if (!draft_.valid() || ::flock(draft_.get(), LOCK_EX | LOCK_NB) != 0) return;
  if (!disk_->files().NewWritableFile(path_of(draft_), writing_options(), &file_, nullptr).ok()) file_.reset();
}

Status NewFile::begin_named() {
  TRY(claim_name(temporary_, 0644));
  named_ = true;
  draft_ = lock_temporary(temporary_);
  const auto opened = disk_->files().NewWritableFile(temporary_, writing_options(), &file_, nullptr);
  return disk_status(opened, "create", temporary_);
}

Status NewFile::append(std::span<const std::byte> bytes) {
  const rocksdb::Slice slice(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return disk_status(file_->Append(slice, {}, nullptr), "write", path_);
}

Status NewFile::commit() {
  TRY(disk_status(file_->Sync({}, nullptr), "sync", path_));
  TRY(disk_status(file_->Close({}, nullptr), "close", path_));
  TRY(named_ ? show_named() : show_nameless());
  file_.reset();
  named_ = false;
  return disk_->sync_directory(fs::path(path_).parent_path().string());
}

// A link fails if a file has appeared meanwhile. Some file systems have no links.
Status NewFile::show_named() {
  const bool linked = !replace_ && disk_->files().LinkFile(temporary_, path_, {}, nullptr).ok();
  if (linked) return disk_status(disk_->files().DeleteFile(temporary_, {}, nullptr), "remove", temporary_);
  TRY(check_place(path_, replace_));
  return disk_->rename_path(temporary_, path_);
}

// A link replaces nothing: for that the draft takes its temporary name for an instant.
Status NewFile::show_nameless() {
  if (link(path_)) return sync_name();
  TRY(check_place(path_, replace_));
  if (!link(temporary_)) return os_error("name", path_, errno);
  named_ = true;
  TRY(sync_name());
  return disk_->rename_path(temporary_, path_);
}

bool NewFile::link(const std::string& path) const {
  return ::linkat(AT_FDCWD, path_of(draft_).c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0;
}

// A file that had no name when it was synced is synced once more: not every file system lets a directory's sync keep
// it.
Status NewFile::sync_name() const { return ::fsync(draft_.get()) == 0 ? Status{} : os_error("sync", path_, errno); }

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
