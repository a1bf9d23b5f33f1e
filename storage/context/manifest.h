// A context's own records: its identity, fixed when it is made, and its state, which changes with each commit.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "storage/context/context.h"
#include "storage/format/block_map.h"
#include "storage/format/schema.h"

namespace reform {

class ByteReader;
class ByteWriter;

struct Identity {
  std::string id, name;
  int64_t created_unix_s = 0;
  int32_t row_bytes = 0;
  ExtraKinds extra_kinds;    // as in the ledger
  int32_t block_tokens = 0;  // a chunk is cut into blocks of this many tokens
  std::string settings;
};

struct CheckpointRef {
  int64_t n_tokens = 0;
  uint64_t generation = 0;  // the place of its blocks; never used twice
  int64_t bytes = 0;        // of all its parts
};

struct ContextState {
  uint64_t sequence = 0;  // counts the state's writes; the ledger holds one that is known to be on disk
  int64_t n_bytes = 0;    // of source that the rows cover
  bool complete = false;
  uint64_t next_generation = 1;
  BlockMap blocks;
  std::vector<CheckpointRef> checkpoints;  // ordered by n_tokens
  std::string sources, progress;
};

std::string encode_identity(const Identity& identity);
Result<Identity> decode_identity(std::span<const std::byte> payload);  // kCorrupt without the context's name
// The sources' text is cut into whole pieces (schema::kSourcesPieceBytes), which are stored apart, and a rest, which
// the record holds. state_record.h puts them together.
inline uint64_t n_sources_pieces(const ContextState& state) {
  return state.sources.size() / schema::kSourcesPieceBytes;
}
std::string encode_state(const ContextState& state);
// Sets n_pieces; the state's sources lack these.
Result<ContextState> decode_state(std::span<const std::byte> payload, int32_t block_tokens, uint64_t& n_pieces);

// The chunks of a BlockMap as runs: a varint count, then for each run its tokens per chunk and its chunks, as varints.
void encode_runs(ByteWriter& out, const BlockMap& blocks);
Status decode_runs(ByteReader& in, uint64_t max_runs, BlockMap& blocks);  // appends to blocks; kCorrupt

ContextMeta meta_of(const Identity& identity, const ContextState& state);

}  // namespace reform
