#include "storage/store/directory.h"

#include <fmt/format.h>
#include <rocksdb/file_system.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/try.h"
#include "storage/disk/absolute_path.h"
#include "storage/disk/checked_json.h"
#include "storage/disk/files.h"
#include "storage/format/schema.h"

namespace reform {
namespace {

constexpr const char* kFolders[] = {"contexts", "locks", "trash"};

bool is_id(const std::string& name) {
  return name.size() == schema::kIdChars && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string marker_path(const std::string& dir) { return dir + "/store.json"; }

// A store whose making was interrupted has some of our folders and nothing else. A fresh disk has lost+found.
bool may_become_store(const std::vector<std::string>& names) {
  return std::all_of(names.begin(), names.end(), [](const std::string& name) {
    return name == "lost+found" || name == "store.json.tmp" ||
           std::find(std::begin(kFolders), std::end(kFolders), name) != std::end(kFolders);
  });
}

// A store that this process can only read (a read-only file system, another user's directory).
Result<bool> is_read_only_store(const std::string& dir) {
  TRY_ASSIGN(const bool is_store, path_exists(dir + "/contexts"));
  return is_store && ::access(dir.c_str(), W_OK) != 0;
}

Status check_marker(const Disk& disk, const std::string& dir) {
  const auto marker = read_checked_json(disk, marker_path(dir));
  if (marker.ok()) return {};
  const Code code = marker.status().code;
  // The marker only says that this is a store: each context has its own format and checksums.
  const bool newer = code == Code::kCorrupt && marker.status().message.find("reads up to") != std::string::npos;
  if (newer || (code != Code::kCorrupt && code != Code::kNotFound)) return marker.status();
  TRY_ASSIGN(const bool has_contexts, path_exists(dir + "/contexts"));
  if (code == Code::kNotFound && !has_contexts) {
    TRY_ASSIGN(const auto names, list_directory(dir));
    // Another process has just made it.
    if (std::find(names.begin(), names.end(), "store.json") != names.end()) return check_marker(disk, dir);
    if (!may_become_store(names)) {
      return {Code::kUsage, fmt::format("{} is not a reform store: it holds other files ({}): give a new or an empty "
                                        "directory",
                                        dir, names.front())};
    }
  }
  TRY_ASSIGN(const bool read_only, is_read_only_store(dir));
  if (read_only) return {};
  const Status written = write_checked_json(disk, marker_path(dir), {{"what", "reform store"}});
  if (written.ok()) return {};
  const auto made = path_exists(marker_path(dir));
  return made.ok() && made.value() ? Status{} : written;  // another process made it just now
}

// Syncs the folders above a new store. It must not vanish with a folder that was never synced, whoever made that one
// (perhaps a process that died half-way). Stops where we may not write, and so have made nothing, or where another file
// system begins.
Status sync_folders_above(const Disk& disk, const std::string& dir) {
  for (std::filesystem::path below = dir; below.has_relative_path(); below = below.parent_path()) {
    const std::string above = below.parent_path().string();
    struct stat info_below, info_above;
    if (::stat(below.c_str(), &info_below) != 0) return os_error("look at", below.string(), errno);
    if (::stat(above.c_str(), &info_above) != 0) return os_error("look at", above, errno);
    if (info_below.st_dev != info_above.st_dev || ::access(above.c_str(), W_OK) != 0) return {};
    TRY(disk.sync_directory(above));
  }
  return {};
}

}  // namespace

Result<StoreDirectory> StoreDirectory::open(const std::string& dir, std::shared_ptr<const Disk> disk) {
  if (dir.empty()) return Status{Code::kUsage, "a store needs a directory"};
  TRY_ASSIGN(const std::string path, absolute_path(dir));
  TRY_ASSIGN(const bool is_there, path_exists(path));
  if (!is_there) {
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
    if (error) return os_error("make directory for", path, error.value());
  }
  TRY(make_directory(path));
  TRY_ASSIGN(const bool has_marker, path_exists(marker_path(path)));
  if (!has_marker) TRY(sync_folders_above(*disk, path));
  TRY(check_marker(*disk, path));
  TRY_ASSIGN(const bool read_only, is_read_only_store(path));
  if (read_only) return StoreDirectory(path, std::move(disk));
  for (const char* folder : kFolders) TRY(make_directory(path + "/" + folder));
  TRY(disk->sync_directory(path));
  return StoreDirectory(path, std::move(disk));
}

Result<std::vector<std::string>> StoreDirectory::context_ids() const {
  TRY_ASSIGN(const auto names, list_directory(path_ + "/contexts"));
  std::vector<std::string> ids;
  for (const std::string& name : names) {
    if (!is_id(name)) continue;
    TRY_ASSIGN(const bool is_removed, path_exists(trash_dir(name)));
    if (!is_removed) ids.push_back(name);
  }
  return ids;
}

Result<std::string> StoreDirectory::new_id() {
  unsigned char bytes[schema::kIdChars / 2];
  if (::getrandom(bytes, sizeof bytes, 0) != ssize_t(sizeof bytes)) return os_error("read", "random bytes", errno);
  std::string id;
  for (const unsigned char b : bytes) id += fmt::format("{:02x}", b);
  return id;
}

Result<bool> StoreDirectory::has_context(const std::string& id) const {
  TRY_ASSIGN(const bool has_files, path_exists(context_dir(id)));
  TRY_ASSIGN(const bool is_removed, path_exists(trash_dir(id)));
  return has_files && !is_removed;
}

bool StoreDirectory::has_lost(const std::string& id) const {
  const auto there = has_context(id);
  return there.ok() && !there.value();
}

// False where a rename cannot do it (EXDEV): one of them is a link to another disk, or overlayfs has `from` in a lower
// layer.
Result<bool> StoreDirectory::move(const std::string& from, const std::string& to) const {
  const rocksdb::IOStatus renamed = disk_->files().RenameFile(from, to, {}, nullptr);
  if (renamed.ToString().ends_with(std::generic_category().message(EXDEV))) return false;
  TRY(disk_status(renamed, "rename to " + to + ":", from));
  TRY(disk_->sync_directory(path_ + "/contexts"));
  TRY(disk_->sync_directory(path_ + "/trash"));
  return true;
}

Status StoreDirectory::move_in(const std::string& id) const {
  TRY_ASSIGN(const bool moved, move(trash_dir(id), context_dir(id)));
  if (moved) return {};
  return {Code::kIo, fmt::format("the store {}: its folders contexts/ and trash/ are on different file systems; put "
                                 "the whole store on one, and link to that or name it with --store",
                                 path_)};
}

Status StoreDirectory::move_out(const std::string& id) const {
  TRY_ASSIGN(const bool moved, move(context_dir(id), trash_dir(id)));
  if (moved) return {};
  // A folder of its id in trash/ does the same, and its files go where they are.
  const std::string mark = trash_dir(id);
  TRY(disk_status(disk_->files().CreateDirIfMissing(mark, {}, nullptr), "make directory", mark));
  return disk_->sync_directory(path_ + "/trash");
}

// The id in trash/ goes last: until then it says that what is left in contexts/ is no context.
Status StoreDirectory::remove_files(const std::string& id) const {
  TRY_ASSIGN(const bool in_trash, path_exists(trash_dir(id)));
  TRY_ASSIGN(const bool in_place, path_exists(context_dir(id)));
  if (in_trash && in_place) {
    TRY(disk_->remove_tree(context_dir(id)));
    TRY(disk_->sync_directory(path_ + "/contexts"));
  }
  return disk_->remove_tree(trash_dir(id));
}

Status StoreDirectory::sweep() const {
  TRY_ASSIGN(const auto trash, list_directory(path_ + "/trash"));
  Status first_failure;  // one that cannot be removed does not stop the others
  for (const std::string& id : trash) {
    if (!is_id(id)) continue;
    auto lock = FileLock::acquire(lock_path(id), FileLock::Mode::kExclusive);
    if (!lock.ok()) continue;  // its maker or remover is at work
    if (const Status removed = remove_files(id); !removed.ok()) first_failure = removed;
  }
  TRY_ASSIGN(const auto locks, list_directory(path_ + "/locks"));
  const auto is_left_over = [&](const std::string& id) {
    return is_id(id) && is_absent(context_dir(id)) && is_absent(trash_dir(id));
  };
  if (std::none_of(locks.begin(), locks.end(), is_left_over)) return first_failure;
  // Nobody makes a context while we hold the names' lock, so a lock file without a context belongs to nobody.
  TRY_ASSIGN(const auto names, lock_names());
  for (const std::string& id : locks) {
    if (!is_left_over(id)) continue;
    auto lock = FileLock::acquire(lock_path(id), FileLock::Mode::kExclusive);
    if (lock.ok()) TRY(lock.value().unlink_and_release());
  }
  return first_failure;
}

}  // namespace reform
