// A checkpoint's bytes in the database. Its parts, joined, are cut into pieces under a generation number of its own;
// it exists once the context's state names that generation, and until then is garbage that the next writer sweeps.
#pragma once

#include <reform/status.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "storage/context_store.h"
#include "storage/database.h"
#include "storage/manifest.h"

namespace reform {

// Writes index and pieces and syncs them. Memory stays at a few pieces, however large the parts.
Result<CheckpointRef> write_checkpoint(Database& db, int64_t n_tokens, uint64_t generation,
                                       std::span<const CheckpointPart> parts);

Status read_checkpoint(const Database& db, const CheckpointRef& ref,
                       const std::function<Status(const std::string& name, std::span<const std::byte>)>& fn);

// Removes every generation that `live` does not name, and gives its bytes back to the disk.
Status sweep_checkpoints(Database& db, std::span<const CheckpointRef> live);

}  // namespace reform
