// RocksDB's files as files: whether each still is, to the last byte, what was written. That also finds damage where no
// live value lies.
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
  int64_t bytes = 0;     // the file's size on the disk
  std::string checksum;  // of the whole file, kept in RocksDB's manifest; "" for files written without our checksum
};

// Makes that checksum while RocksDB writes a file. It is XXH3-64, as Debian's CRC-32C is table-driven (1 s per GB).
std::shared_ptr<rocksdb::FileChecksumGenFactory> file_checksums();

// The tables and blob files of the database in `dir`. kCorrupt names one that is gone.
Result<std::vector<LiveFile>> list_live_files(rocksdb::DB& db, const std::string& dir);

// Reads all of `file`. kCorrupt if it is not what was written. Without a checksum for the file, a table is checked by
// its blocks' checksums; a blob file has none, so only its values can be checked. `on_bytes` is told how many bytes
// were just read.
Status check_live_file(const Disk& disk, const std::string& dir, const LiveFile& file,
                       const std::function<Status(int64_t n_bytes)>& on_bytes);

}  // namespace reform
