// A checkpoint's bytes in the database. Its parts, joined, are cut into pieces under a generation number of its own;
// it exists once the context's state names that generation, and until then is garbage that the next writer sweeps.
#pragma once

#include <reform/status.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "storage/context/block_stream.h"
#include "storage/context/context.h"
#include "storage/context/database.h"
#include "storage/context/manifest.h"

namespace reform {

// Writes index and pieces and syncs them. Memory stays at a few pieces, however large the parts.
Result<CheckpointRef> write_checkpoint(Database& db, int64_t n_tokens, uint64_t generation,
                                       std::span<const NamedBytes> parts);

struct PartSize {
  std::string name;
  int64_t bytes = 0;
};
// The parts that the index names, together ref.bytes; kCorrupt otherwise.
Result<std::vector<PartSize>> read_checkpoint_index(const Database& db, const CheckpointRef& ref);

// Index to bytes and back: varint number of parts, each text name and varint bytes.
std::string encode_checkpoint_index(std::span<const PartSize> parts);
Result<std::vector<PartSize>> decode_checkpoint_index(std::span<const std::byte> payload, int64_t total_bytes);

// Where piece i of n is, counted from 0, and its bytes.
constexpr int64_t n_checkpoint_pieces(int64_t bytes) {
  return bytes / schema::kPieceBytes + (bytes % schema::kPieceBytes != 0);
}
BlockPlace checkpoint_piece(const CheckpointRef& ref, int64_t i);

Status read_checkpoint(const Database& db, const CheckpointRef& ref,
                       const std::function<Status(const std::string& name, std::span<const std::byte>)>& fn);

// Removes every generation that `live` does not name, and gives its bytes back to the disk. may_grow: as in compact().
Status sweep_checkpoints(Database& db, std::span<const CheckpointRef> live,
                         const std::function<bool(int64_t bytes)>& may_grow);

}  // namespace reform
