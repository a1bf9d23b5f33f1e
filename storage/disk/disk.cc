#include "storage/disk/disk.h"

#include <fmt/format.h>
#include <reform/errno_status.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "base/try.h"
#include "storage/disk/files.h"
#include "storage/disk/rocksdb_files/checked_files.h"

namespace reform {

namespace {

// On opening, RocksDB ends with a line feed what it cannot look at, and calls it corruption.
std::string text_of(const rocksdb::Status& status) {
  std::string text = status.ToString();
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

// 0: none.
int errno_of(const rocksdb::Status& status) {
  const std::string text = text_of(status);
  for (const int error : {ENOMEM, EMFILE, ENFILE, EFBIG, ENOSPC, EDQUOT, EROFS, EACCES, EPERM, EIO})
    if (text.ends_with(": " + std::generic_category().message(error))) return error;
  return 0;
}

}  // namespace

std::string words_of(const rocksdb::Status& status) {
  const std::string text = text_of(status);
  std::string_view words = text;
  for (const std::string_view kind : {"IO error: ", "No space left on device: ", "While "})
    if (words.starts_with(kind)) words.remove_prefix(kind.size());
  return std::string(words);
}

Status system_refusal(const rocksdb::Status& status) {
  const int error = status.ok() ? 0 : errno_of(status);
  if (error == 0) return {};
  std::string words = words_of(status);
  if (words.starts_with("Corruption: ")) words.erase(0, words.find(' ') + 1);  // it is none
  const std::string why = ": " + std::generic_category().message(error);
  return errno_status(error, words.substr(0, words.size() - std::min(words.size(), why.size())));
}

Status disk_status(const rocksdb::IOStatus& status, const std::string& verb, const std::string& path) {
  if (status.ok()) return {};
  const std::string what = fmt::format("cannot {} {}", verb, path);
  if (const int error = errno_of(status); error != 0) return errno_status(error, what);
  const bool is_gone = status.IsNotFound() || status.IsPathNotFound();
  const Code code = status.IsNoSpace() ? Code::kNoSpace : is_gone ? Code::kNotFound : Code::kIo;
  return {code, fmt::format("{}: {}", what, words_of(status))};
}

rocksdb::IOStatus read_small(rocksdb::FSSequentialFile& file, std::string& bytes) {
  std::string buffer(16384, '\0');
  while (true) {
    rocksdb::Slice got;
    const rocksdb::IOStatus status = file.Read(buffer.size(), {}, &got, buffer.data(), nullptr);
    if (!status.ok() || got.empty()) return status;
    bytes.append(got.data(), got.size());
    if (bytes.size() > kSmallFileBytes) return status;
  }
}

rocksdb::FileOptions writing_options() {
  rocksdb::FileOptions options;
  options.use_mmap_writes = options.allow_fallocate = false;
  return options;
}

Disk::Disk(std::shared_ptr<rocksdb::FileSystem> files, bool direct_reads, std::string description, std::string remark)
    : files_(std::move(files)),
      env_(rocksdb::NewCompositeEnv(with_checked_files(files_))),
      direct_reads_(direct_reads),
      description_(std::move(description)),
      remark_(std::move(remark)) {}
Disk::~Disk() = default;
namespace {

class EnvWithClock final : public rocksdb::EnvWrapper {
 public:
  EnvWithClock(std::unique_ptr<rocksdb::Env> env, std::shared_ptr<rocksdb::SystemClock> clock)
      : EnvWrapper(std::move(env)) {
    file_system_ = target()->GetFileSystem();
    system_clock_ = std::move(clock);
  }
};

}  // namespace

std::shared_ptr<const Disk> Disk::with_files(std::shared_ptr<rocksdb::FileSystem> files) const {
  auto disk = std::make_shared<Disk>(std::move(files), direct_reads_, description_, remark_);
  disk->env_ = std::make_unique<EnvWithClock>(std::move(disk->env_), env_->GetSystemClock());
  return disk;
}

void Disk::wrap_env(const std::function<std::unique_ptr<rocksdb::Env>(std::unique_ptr<rocksdb::Env>)>& wrap) {
  env_ = wrap(std::move(env_));
}

std::shared_ptr<const Disk> Disk::plain() { return std::make_shared<const Disk>(rocksdb::FileSystem::Default()); }

Result<std::string> Disk::read_small_file(const std::string& path) const {
  std::unique_ptr<rocksdb::FSSequentialFile> file;
  TRY(disk_status(files_->NewSequentialFile(path, {}, &file, nullptr), "open", path));
  std::string bytes;
  TRY(disk_status(read_small(*file, bytes), "read", path));
  if (bytes.size() > kSmallFileBytes) return Status{Code::kCorrupt, path + ": larger than it can be"};
  return bytes;
}

Status Disk::write_file_atomically(const std::string& path, const std::string& bytes) const {
  const std::string temporary = path + ".tmp";
  const auto write = [&]() -> Status {
    std::unique_ptr<rocksdb::FSWritableFile> file;
    TRY(disk_status(files_->NewWritableFile(temporary, writing_options(), &file, nullptr), "create", temporary));
    TRY(disk_status(file->Append(bytes, {}, nullptr), "write", temporary));
    TRY(disk_status(file->Sync({}, nullptr), "sync", temporary));
    return disk_status(file->Close({}, nullptr), "close", temporary);
  };
  Status written = write();
  if (written.ok()) written = rename_path(temporary, path);
  if (!written.ok()) {
    (void)files_->DeleteFile(temporary, {}, nullptr).ok();
    return written;
  }
  return sync_directory(std::filesystem::path(path).parent_path().string());
}

Status Disk::rename_path(const std::string& from, const std::string& to) const {
  return disk_status(files_->RenameFile(from, to, {}, nullptr), "rename to " + to + ":", from);
}

Status Disk::sync_directory(const std::string& path) const {
  std::unique_ptr<rocksdb::FSDirectory> directory;
  TRY(disk_status(files_->NewDirectory(path, {}, &directory, nullptr), "open", path));
  return disk_status(directory->Fsync({}, nullptr), "sync", path);
}

// Removes files first, as RocksDB's file systems cannot remove a tree. Our trees are one folder deep.
Status Disk::remove_tree(const std::string& path) const {
  TRY_ASSIGN(const bool is_there, path_exists(path));
  if (!is_there) return {};
  std::error_code no_link;
  if (std::filesystem::is_symlink(path, no_link))  // what it leads to is not ours to remove
    return disk_status(files_->DeleteFile(path, {}, nullptr), "remove", path);
  TRY_ASSIGN(const auto names, list_directory(path));
  for (const std::string& name : names) {
    const std::string inside = path + "/" + name;
    std::error_code error;
    const auto found = std::filesystem::symlink_status(inside, error);
    if (found.type() == std::filesystem::file_type::none) return os_error("look at", inside, error.value());
    if (std::filesystem::is_directory(found)) {
      TRY(remove_tree(inside));
      continue;
    }
    const Status removed = disk_status(files_->DeleteFile(inside, {}, nullptr), "remove", inside);
    if (!removed.ok() && removed.code != Code::kNotFound) return removed;
  }
  const Status removed = disk_status(files_->DeleteDir(path, {}, nullptr), "remove", path);
  return removed.code == Code::kNotFound ? Status{} : removed;
}

}  // namespace reform
