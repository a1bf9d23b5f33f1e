// A lock between processes (and between holders in one process): flock on a small file. It ends when its holder dies.
#pragma once

#include <reform/status.h>

#include <chrono>
#include <optional>
#include <string>

#include "storage/disk/files.h"

namespace reform {

class FileLock {
 public:
  enum class Mode { kShared, kExclusive };
  FileLock() = default;
  FileLock(FileLock&&) noexcept = default;
  FileLock& operator=(FileLock&&) noexcept = default;

  // Makes the file if there is none. A reader that may not make it (a copied store that it can only read) goes without:
  // no writer has it either. Waits up to `patience` for other holders. Then kBusy, whose message says who they
  // are: "written by process 123" or "read by another process". An exclusive holder never waits for another exclusive
  // one, since that takes minutes; readers mostly come and go.
  static Result<FileLock> acquire(const std::string& path, Mode mode, std::chrono::milliseconds patience = {});
  // Waits as long as it takes. For locks that are held for moments only.
  static Result<FileLock> wait(const std::string& path);

  // The exclusive holder leaves a line for others to read. It counts while the lock is held. At most 20 characters.
  static Status leave_note(const std::string& path, const std::string& text);
  // The exclusive holder's note, or "" if it left none. Nothing if there is no exclusive holder.
  static Result<std::optional<std::string>> holder_note(const std::string& path);

  bool held() const { return file_.valid(); }
  // Unlinks the file while it is held exclusively. acquire() notices that and starts over with a fresh file.
  Status unlink_and_release();
  void release() { file_ = FileDescriptor(); }

 private:
  FileDescriptor file_;
  std::string path_;
};

}  // namespace reform
