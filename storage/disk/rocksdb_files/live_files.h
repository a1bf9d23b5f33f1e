// RocksDB's own files as files: whether each is still, to the last byte, what was written. That also finds damage where
// no live value lies.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/disk/disk.h"

namespace rocksdb {
class DB;
class FileChecksumGenFactory;
}  // namespace rocksdb

namespace reform {

struct LiveFile {
  std::string name;
  int64_t bytes = 0;     // as they lie on the disk
  std::string checksum;  // of the whole file, kept in RocksDB's manifest; "" for files written without ours
};

// What makes that checksum while RocksDB writes a file: XXH3-64, since Debian's CRC-32C is table-driven (1 s per GB).
std::shared_ptr<rocksdb::FileChecksumGenFactory> file_checksums();

// The tables and blob files that make up the database in `dir`. kCorrupt names one that is gone.
Result<std::vector<LiveFile>> list_live_files(rocksdb::DB& db, const std::string& dir);

// Reads all of `file`. kCorrupt if it is not what was written. Of a file without a checksum a table's blocks have
// theirs, and a blob file has none: its values are then all that can be checked. `on_bytes` is told how much was read
// just now.
Status check_live_file(const Disk& disk, const std::string& dir, const LiveFile& file,
                       const std::function<Status(int64_t n_bytes)>& on_bytes);

}  // namespace reform
