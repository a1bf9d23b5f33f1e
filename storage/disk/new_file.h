// A file outside the store that appears whole or not at all. Until then it has no name, so nothing of it is left if the
// process is killed. Where the file system knows no files without names (O_TMPFILE), it is written beside its place, as
// "<name>.<8 hexadecimal digits>.partial" (of a long name its beginning), synced and renamed; what a killed process
// left there, the next one that writes the same file removes.
#pragma once

#include <reform/status.h>

#include <memory>
#include <span>
#include <string>

#include "storage/disk/disk.h"
#include "storage/disk/files.h"
#include "storage/format/byte_stream.h"

namespace rocksdb {
class FSWritableFile;
}

namespace reform {

class NewFile {
 public:
  enum class Draft { kNameless, kNamed };  // kNamed: for tests, as where there are no files without names

  // kExists if there is a file and `replace` is false; kUsage if the path is something other than a file.
  static Result<NewFile> create(const Disk& disk, const std::string& path, bool replace,
                                Draft draft = Draft::kNameless);
  NewFile(NewFile&&) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();  // without commit() it removes what was written

  Status append(std::span<const std::byte> bytes);
  Status commit();  // durable on return

 private:
  NewFile(const Disk& disk, std::string path, bool replace);
  void begin_nameless();  // without file_ afterwards: it cannot be
  Status begin_named();
  Status show_named();
  Status show_nameless();
  bool link(const std::string& path) const;  // gives a draft without a name one
  Status sync_name() const;

  const Disk* disk_;
  std::string path_, temporary_;
  bool replace_;
  bool named_ = false;    // there is a file temporary_, to be removed
  FileDescriptor draft_;  // locked, so that nobody takes temporary_ for one that was left
  std::unique_ptr<rocksdb::FSWritableFile> file_;
};

// Reads the file at `path` from its beginning. It may be a pipe.
Result<ByteSource> open_byte_source(const Disk& disk, const std::string& path);

}  // namespace reform
