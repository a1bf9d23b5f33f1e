// To RocksDB, a full disk is an error like any other.
//
// RocksDB 7.8 takes "no space" for a state that passes: it then recovers by itself, on a thread of its own, and closing
// the database waits for that; now and then for ever. A writer of ours stops at the first error, and whoever opens the
// context again goes on. So below RocksDB the error loses its kind, and is_no_space() finds it again.
#pragma once

#include <rocksdb/status.h>

#include <memory>

namespace rocksdb {
class FileSystem;
}

namespace reform {

std::shared_ptr<rocksdb::FileSystem> with_final_errors(const std::shared_ptr<rocksdb::FileSystem>& files);
bool is_no_space(const rocksdb::Status& status);

}  // namespace reform
