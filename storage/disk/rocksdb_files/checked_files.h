// A file system that looks at RocksDB's files before RocksDB does: where it would end the process over a damaged one,
// or refuse one in which nothing is lost.
#pragma once

#include <memory>

namespace rocksdb {
class FileSystem;
}

namespace reform {

// `files`, with tables checked as they are opened (storage/disk/rocksdb_files/table_check.h), and a MANIFEST that ends
// before what a loss of power may have left of its last records (storage/disk/rocksdb_files/version_log.h), as far as
// the ledger beside it allows.
std::shared_ptr<rocksdb::FileSystem> with_checked_files(const std::shared_ptr<rocksdb::FileSystem>& files);

}  // namespace reform
