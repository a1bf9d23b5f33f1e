// A lock between processes (and between holders in one process): flock on a small file. It dies with its holder.
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

  // Makes the file if there is none. Waits up to `patience` for other holders; then kBusy, whose message says who:
  // "written by process 123" or "read by another process". An exclusive holder never waits for another exclusive one
  // to end, since that takes minutes; readers mostly come and go.
  static Result<FileLock> acquire(const std::string& path, Mode mode, std::chrono::milliseconds patience = {});
  // Waits as long as it takes; for locks that are held for moments only.
  static Result<FileLock> wait(const std::string& path);

  // The exclusive holder leaves a line for whoever meets the lock; it counts while the lock is held. At most 20
  // characters.
  static Status leave_note(const std::string& path, const std::string& text);
  // The exclusive holder's note, "" if it left none; nothing if there is no such holder.
  static Result<std::optional<std::string>> holder_note(const std::string& path);

  bool held() const { return file_.valid(); }
  // Unlinks the file while holding it exclusively; acquire() notices and starts over with a fresh file.
  Status unlink_and_release();
  void release() { file_ = FileDescriptor(); }

 private:
  FileDescriptor file_;
  std::string path_;
};

}  // namespace reform
