// RocksDB's MANIFEST, the log of which files make up a database, as a loss of power leaves it.
//
// RocksDB syncs what it appends, so only the last records can be unsynced. One cut short it passes over; anything else
// that a disk may leave there (zeros, old blocks, a later record without the one before) makes it refuse the database,
// though nothing synced is lost.
#pragma once

#include <cstddef>
#include <string_view>

namespace reform {

// RocksDB appends less before it syncs: a record is some bytes for each table that comes or goes.
constexpr size_t kMaxUnsyncedLogBytes = 32768;

// How many of the log's bytes to read: those before its first damaged record, if that is near enough to the end to have
// been unsynced; else all, for RocksDB to refuse. Should it have been synced, the database comes out older than the
// ledger (storage/ledger.h) and without files it names: found where those are read.
// Layout: RocksDB's wiki, "Write Ahead Log File Format", which this log shares.
size_t sound_log_bytes(std::string_view log);

}  // namespace reform
