// The store's directory: its places, its marker, its ids, and the removal of what a process that died has left.
#pragma once

#include <reform/status.h>

#include <memory>
#include <string>
#include <vector>

#include "storage/disk/disk.h"
#include "storage/disk/file_lock.h"

namespace reform {

class StoreDirectory {
 public:
  // Makes it (mode 0700) if there is none. kUsage if it holds something other than a store.
  static Result<StoreDirectory> open(const std::string& dir, std::shared_ptr<const Disk> disk);

  const Disk& disk() const { return *disk_; }
  const std::string& path() const { return path_; }
  std::string context_dir(const std::string& id) const { return path_ + "/contexts/" + id; }
  std::string lock_path(const std::string& id) const { return path_ + "/locks/" + id; }
  std::string trash_dir(const std::string& id) const { return path_ + "/trash/" + id; }

  Result<std::vector<std::string>> context_ids() const;
  static Result<std::string> new_id();  // 128 random bits in hexadecimal

  // Held for moments, by whoever makes or removes a context or writes the catalogue.
  Result<FileLock> lock_names() const { return FileLock::wait(path_ + "/locks/store"); }

  // An id in trash/ is none of the store's contexts, wherever its files are.
  Result<bool> has_context(const std::string& id) const;
  bool has_lost(const std::string& id) const;  // for certain
  // Makes what was made in trash/ a context: at once and durably.
  Status move_in(const std::string& id) const;
  // Makes a context none any more: at once and durably. Its files stay until remove_files().
  Status move_out(const std::string& id) const;
  Status remove_files(const std::string& id) const;
  // Removes what is in trash/ and the lock files of contexts that are gone, except where somebody holds the lock.
  Status sweep() const;

 private:
  StoreDirectory(std::string path, std::shared_ptr<const Disk> disk) : disk_(std::move(disk)), path_(std::move(path)) {}
  Result<bool> move(const std::string& from, const std::string& to) const;
  std::shared_ptr<const Disk> disk_;
  std::string path_;  // absolute
};

}  // namespace reform
