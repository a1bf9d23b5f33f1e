// RocksDB's MANIFEST (the log of which files make up a database) after a loss of power.
//
// RocksDB syncs what it appends, so only the last records can be unsynced. RocksDB skips a last record that is cut
// short. Anything else that a disk may leave there (zeros, old blocks, a later record without the one before) makes it
// refuse the database, though nothing synced is lost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace reform {

// How many of the log's bytes to read: those before its first damaged record. If that record begins in the first
// synced_bytes, the answer is all, and RocksDB refuses the log. A synced record that is gone is damage: the
// database without it is another one, whose keys may have older values. Layout: RocksDB's wiki, "Write Ahead Log File
// Format", which this log shares.
size_t sound_log_bytes(std::string_view log, uint64_t synced_bytes);

}  // namespace reform
