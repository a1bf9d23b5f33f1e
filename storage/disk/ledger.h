// contexts/<id>/context.json: a context's name, which can be read beside a live writer, and how far it is known to be
// saved.
//
// It is written after the database has been synced, so the database is older than its ledger only if its files were
// damaged. RocksDB reads a log or manifest that ends early as an earlier state; without the ledger nobody would notice.
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
  // For a replacement: the context whose place it takes as soon as it is complete.
  std::string replaces;
  bool took_over = false;
  // RocksDB's MANIFEST when this was written, and how much of it was synced (storage/disk/rocksdb_files/version_log.h).
  std::string version_log = {};
  int64_t version_log_bytes = 0;
  // Fixed when the context is made. They stand here because RocksDB opens the database with a column family for each.
  ExtraKinds extra_kinds = {};
  // The place in the order of uses (storage/limits/use_record.h) of when it was last completed. 0: not yet, or by an
  // older program.
  int64_t use_number = 0;
};

// How much of the MANIFEST named `version_log` is known to be synced: all of it if the ledger does not say, none if it
// is newer than the ledger's.
uint64_t synced_log_bytes(const Ledger& ledger, const std::string& version_log);

Status write_ledger(const Disk& disk, const std::string& context_dir, const Ledger& ledger);
// kCorrupt unless it is intact, has a known format, and belongs to the context whose directory it is in.
Result<Ledger> read_ledger(const Disk& disk, const std::string& context_dir);

}  // namespace reform
