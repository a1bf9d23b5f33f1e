// A context's state on disk: its record, and beside it the pieces of the sources' text. Of a list of many files a
// commit so writes only what is new.
#pragma once

#include <rocksdb/write_batch.h>

#include <cstdint>

#include "storage/context/database.h"
#include "storage/context/manifest.h"

namespace reform {

// Adds to `batch` what turns the stored state `before` into `now`.
void put_state(const Database& db, rocksdb::WriteBatch& batch, const ContextState& before, const ContextState& now);
// kCorrupt names the context and the record.
Result<ContextState> read_state(const Database& db, int32_t block_tokens);

}  // namespace reform
