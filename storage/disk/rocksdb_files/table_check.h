// A look at a RocksDB table before RocksDB reads it.
//
// RocksDB 7.8 takes a table's properties block apart before it compares the block's checksum, and a damaged one can
// trip an assertion there: the end of the process, where it should be the end of one context. So that block, and the
// two that lead to it, are checked when RocksDB opens the table: only then is it known to be one that counts, and not
// what a writer that was killed has left of another.
#pragma once

#include <reform/status.h>

#include <string>

namespace rocksdb {
class FileSystem;
}

namespace reform {

// kCorrupt if what leads to the properties, or they, are damaged. Tables of a layout that we do not write pass.
Status check_table_properties(rocksdb::FileSystem& files, const std::string& path);

}  // namespace reform
