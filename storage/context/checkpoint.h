// A checkpoint's bytes in the database. Its parts, joined, are cut into pieces under a generation number of its own.
// The checkpoint exists once the context's state names that generation. Before that it is garbage, which the next
// writer removes.
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

// Writes index and pieces and syncs them. It holds a few pieces at a time, however large the parts are.
Result<CheckpointRef> write_checkpoint(Database& db, int64_t n_tokens, uint64_t generation,
                                       std::span<const NamedBytes> parts);

struct PartSize {
  std::string name;
  int64_t bytes = 0;
};
// The parts that the index names. kCorrupt if they do not add up to ref.bytes.
Result<std::vector<PartSize>> read_checkpoint_index(const Database& db, const CheckpointRef& ref);

// The index to bytes and back: a varint number of parts; then, for each, its name as text and its bytes as varint.
std::string encode_checkpoint_index(std::span<const PartSize> parts);
Result<std::vector<PartSize>> decode_checkpoint_index(std::span<const std::byte> payload, int64_t total_bytes);

// The number of pieces, and the place and size of piece i, counted from 0.
constexpr int64_t n_checkpoint_pieces(int64_t bytes) {
  return bytes / schema::kPieceBytes + (bytes % schema::kPieceBytes != 0);
}
BlockPlace checkpoint_piece(const CheckpointRef& ref, int64_t i);

Status read_checkpoint(const Database& db, const CheckpointRef& ref,
                       const std::function<Status(const std::string& name, std::span<const std::byte>)>& fn);

// Removes every generation that `live` does not name and gives its bytes back to the disk. may_grow: as in compact().
Status sweep_checkpoints(Database& db, std::span<const CheckpointRef> live,
                         const std::function<bool(int64_t bytes)>& may_grow);

}  // namespace reform
