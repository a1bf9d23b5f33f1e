// Reads and checks everything of one context, past the first damage to the last.
//
// Checked: RocksDB's files byte by byte (storage/disk/rocksdb_files/live_files.h); every value that chunks
// left, every checkpoint's index and pieces, by their own checksums and sizes; and that they fit together: token blocks
// follow each other over the source's bytes without a gap, rows are as many as tokens, checkpoints as long as the state
// says. What rows, checkpoints and JSON texts mean is not checked: only the runtime knows.
#pragma once

#include <reform/status.h>

#include "storage/context/context.h"
#include "storage/context/stored_context.h"

namespace reform {

constexpr size_t kDamagesListed = 20;

// One more damage: listed if there is room, counted in any case.
void add_damage(ContextVerdict& verdict, Status damage);

// A context that cannot be opened, for this reason: that, and which of its tables are damaged, as far as tables show it
// by themselves. The Status: as below.
Status verify_unopened(const Disk& disk, const std::string& dir, const ContextTag& tag, Status why,
                       ContextVerdict& verdict);

// Adds what it finds to `verdict`. The Status is only what ended the check itself: `progress` said so, no memory.
Status verify_context(StoredContext& context, const ContextProgressFn& progress, ContextVerdict& verdict);

}  // namespace reform
