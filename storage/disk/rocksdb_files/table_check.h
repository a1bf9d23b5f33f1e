// Checks a RocksDB table before RocksDB reads it.
//
// RocksDB 7.8 parses a table's properties block before it compares the block's checksum. A damaged block can trip an
// assertion there, which would end the process, where only one context should fail. So we check that block, and the two
// that lead to it, when RocksDB opens the table. Before that nobody knows whether the table counts, or is left over
// from a writer that was killed.
#pragma once

#include <reform/status.h>

#include <string>

namespace rocksdb {
class FileSystem;
}

namespace reform {

// kCorrupt if the properties, or what leads to them, are damaged. Tables of a layout that we do not write pass.
Status check_table_properties(rocksdb::FileSystem& files, const std::string& path);

}  // namespace reform
