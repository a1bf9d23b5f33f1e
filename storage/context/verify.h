// Reads and checks everything of one context, from the first damage to the last.
//
// It checks RocksDB's files byte by byte (storage/disk/rocksdb_files/live_files.h). It checks every value that chunks
// left, and every checkpoint's index and pieces, by their own checksums and sizes. And it checks that they fit
// together: token blocks follow each other over the source's bytes without a gap, there are as many rows as tokens, and
// checkpoints are as long as the state says. It does not check what rows, checkpoints and JSON texts mean: only the
// runtime knows that.
#pragma once

#include <reform/status.h>

#include "storage/context/context.h"
#include "storage/context/stored_context.h"

namespace reform {

constexpr size_t kDamagesListed = 20;

// Notes one more damage, or (kIo) what the system refuses to read: lists it if there is room, counts it in any case. If
// there is damage, it lists some.
void add_damage(ContextVerdict& verdict, Status damage);

// For a context that cannot be opened: notes that reason, and which of its tables are damaged, as far as the tables
// alone show it. The Status: as below.
Status verify_unopened(const Disk& disk, const std::string& dir, const ContextTag& tag, Status why,
                       ContextVerdict& verdict);

// Adds what it finds to `verdict`. The Status is not ok only if the check itself ended: `progress` stopped it, or
// memory or descriptors ran out.
Status verify_context(StoredContext& context, const ContextProgressFn& progress, ContextVerdict& verdict);

}  // namespace reform
