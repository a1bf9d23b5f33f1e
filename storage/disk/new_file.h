// A file outside the store that appears whole or not at all. It is written beside its place, as
// "<name>.<8 hexadecimal digits>.partial", synced and renamed. What a process that was killed left there, the next one
// that writes the same file removes.
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
  // kExists if there is a file and `replace` is false; kUsage if the path is something other than a file.
  static Result<NewFile> create(const Disk& disk, const std::string& path, bool replace);
  NewFile(NewFile&&) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();  // without commit() it removes what was written

  Status append(std::span<const std::byte> bytes);
  Status commit();  // durable on return

 private:
  NewFile(const Disk& disk, std::string path, bool replace);
  const Disk* disk_;
  std::string path_, temporary_;
  bool replace_;
  FileDescriptor lock_;  // on the temporary file, so that nobody takes it for one that was left
  std::unique_ptr<rocksdb::FSWritableFile> file_;
};

// Reads the file at `path` from its beginning. It may be a pipe.
Result<ByteSource> open_byte_source(const Disk& disk, const std::string& path);

}  // namespace reform
