// What the disk under a store can do: its file system's kind and room, and how fast it reads the way a store reads.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <functional>
#include <string>

#include "storage/disk/disk.h"

namespace reform {

struct FileSystemInfo {
  std::string type;  // "ext4", "xfs", "tmpfs", …; "" if unknown
  int64_t free_bytes = 0, total_bytes = 0;
};
Result<FileSystemInfo> file_system_at(const std::string& dir);

struct DiskSpeed {
  double sequential_bytes_per_s = 0;  // reads of 1 MiB, eight at a time, as an index is scanned
  double random_reads_per_s = 0;      // reads of 4 KiB, 64 at a time
};

// Takes about two seconds, with a file of at most max_bytes that nobody sees: it is unlinked before its first byte is
// written. The page cache is bypassed if the system allows it. kCancelled once stopped() says so.
Result<DiskSpeed> measure_disk(const Disk& disk, const std::string& dir, int64_t max_bytes,
                               const std::function<bool()>& stopped);

}  // namespace reform
