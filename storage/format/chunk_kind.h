// What a chunk leaves behind: a table with a row per kind.
//
// Commit, truncate, read, verify, export and import go over the kinds that the context has. A new kind is a row here,
// with its bytes passed to commit_chunk() under its name.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "storage/format/block_map.h"
#include "storage/format/schema.h"

namespace reform {

// Names, numbers and shapes are on disk: never change those of an existing row. A value's number is that of its first
// token.
struct ChunkKind {
  enum class Shape : uint8_t {
    kTokens,  // token spans (block_codec.h), a value per block; the one kind that commit_chunk() encodes itself
    // The same number of bytes, fixed when the context is made, …
    kRows,      // … for every token; a value per block
    kPageRows,  // … for every token; a value per page (schema::kPageTokens)
    kPages,     // … for every page; a value per page
    kWhole,     // 0 to kMaxBlockBytes bytes for a chunk; a value per chunk
  };
  const char* name;        // of the part, and of its column family
  const char* block_name;  // of a value, in messages; the value's number follows
  Shape shape;
  schema::Kind kind;  // in each value's frame
  schema::Family family;
  uint8_t section;         // of its values in an archive
  int64_t memtable_bytes;  // RocksDB keeps two at most
  bool in_blobs;           // for large values: those from 4,096 bytes on lie in blob files, which are not rewritten
};

// Every context has the first two. It has those of the others that it was made with.
inline constexpr ChunkKind kChunkKinds[] = {
    {"spans", "token block", ChunkKind::Shape::kTokens, schema::Kind::kSpans, schema::Family::kSpans, 2,
     int64_t{2} << 20, false},
    // Each flush makes a blob file, so these have the largest memtable.
    {"embeddings", "embedding block", ChunkKind::Shape::kRows, schema::Kind::kEmbeddings, schema::Family::kEmbeddings,
     3, int64_t{12} << 20, true},
    // A chunk's pages are larger than a memtable: one takes them whole (planned_part_bytes() in context_store.h).
    {"page_states", "page", ChunkKind::Shape::kPageRows, schema::Kind::kPageStates, schema::Family::kPageStates, 7,
     int64_t{1} << 20, true},
    {"page_keys", "page key", ChunkKind::Shape::kPages, schema::Kind::kPageKeys, schema::Family::kPageKeys, 8,
     int64_t{8} << 20, true},
};
inline constexpr const ChunkKind& kTokenSpans = kChunkKinds[0];
inline constexpr const ChunkKind& kEmbeddingRows = kChunkKinds[1];
inline constexpr const ChunkKind& kPageStates = kChunkKinds[2];
inline constexpr const ChunkKind& kPageKeys = kChunkKinds[3];

// A kind by its name; nullptr if this program does not know it.
const ChunkKind* find_chunk_kind(const std::string& name);
const ChunkKind* find_chunk_kind(schema::Kind kind);
const ChunkKind* find_chunk_kind(schema::Family family);
const ChunkKind* find_section(uint8_t section);
// Adds a kind for a test. `kind` must stay in place. Call it before the store's other calls.
void add_chunk_kind(const ChunkKind& kind);

// The kinds that a context has beyond those of every context, with their bytes per token or page (kWhole: 0). Ordered
// by name, so that an archive has one order.
using ExtraKinds = std::map<std::string, int32_t>;

// A kind as one context has it.
struct ContextKind {
  const ChunkKind* kind = nullptr;
  int32_t row_bytes = 0;  // of a token or page; kTokens, kWhole: 0

  BlockMap values(const BlockMap& map) const;  // the context's map, cut so that each block is a value
  BlockPlace place(TokenRange value) const;    // of the value of these tokens
  BlockPlace part_of(int64_t n_tokens) const;  // the size of all values of a chunk, the first token of which is 0
};

// All kinds of a context; those that every context has come first. kCorrupt, without the context's name, if a name is
// unknown or a size is impossible.
Result<std::vector<ContextKind>> kinds_of(int32_t row_bytes, const ExtraKinds& extra);

// The block size for these rows: no block has more tokens. It is chosen once, when a context is made.
int32_t block_tokens_for(int32_t row_bytes, const ExtraKinds& extra = {});

}  // namespace reform
