// A file system that checks RocksDB's files before RocksDB reads them. It serves two cases: RocksDB would end the
// process over a damaged file, or would refuse a file that has lost nothing.
#pragma once

#include <memory>

namespace rocksdb {
class FileSystem;
}

namespace reform {

// Wraps `files`. Tables are checked when they are opened (storage/disk/rocksdb_files/table_check.h). A MANIFEST ends
// before its first record that a loss of power may have damaged (storage/disk/rocksdb_files/version_log.h), as far as
// the ledger beside it allows.
std::shared_ptr<rocksdb::FileSystem> with_checked_files(const std::shared_ptr<rocksdb::FileSystem>& files);

}  // namespace reform
