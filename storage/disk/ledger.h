// contexts/<id>/context.json: a context's name, readable beside a live writer, and how far it is known to be saved.
//
// Written after the database has been synced, so the database is never older than its ledger unless its files were
// damaged: RocksDB reads a log or manifest that ends early as an earlier state, which alone would go unnoticed.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <string>

#include "storage/disk/disk.h"
#include "storage/format/chunk_kind.h"

namespace reform {

struct Ledger {
  std::string id, name;
  uint64_t saved_sequence = 0;  // ContextState::sequence of a state that is on disk
  int64_t saved_tokens = 0;     // what a restart does not recompute
  bool complete = false;
  // A replacement names the context whose place it is to take, and has taken it once it was complete.
  std::string replaces;
  bool took_over = false;
  // RocksDB's MANIFEST when this was written, and how much of it had been synced
  // (storage/disk/rocksdb_files/version_log.h).
  std::string version_log = {};
  int64_t version_log_bytes = 0;
  // Fixed when the context is made. They stand here because the database is opened with a column family for each.
  ExtraKinds extra_kinds = {};
};

// Of the MANIFEST of that name, what is known to have been synced: all where the ledger does not say, nothing of one
// that came after it.
uint64_t synced_log_bytes(const Ledger& ledger, const std::string& version_log);

Status write_ledger(const Disk& disk, const std::string& context_dir, const Ledger& ledger);
// kCorrupt unless it is intact, of a known format, and of the context whose directory it is in.
Result<Ledger> read_ledger(const Disk& disk, const std::string& context_dir);

}  // namespace reform
