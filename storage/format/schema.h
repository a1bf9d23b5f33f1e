// The on-disk format in one place: versions, kinds, keys and the frame around every value. docs/FORMAT.md describes it
// in prose.
//
// These numbers are on disk: never renumber. A change that an older program would misread raises kFormatVersion.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace reform::schema {

// The version of the store's directory, the ledger and every value but those named here.
constexpr uint16_t kFormatVersion = 1;
// A state record whose sources begin in pieces of their own, and these pieces.
constexpr uint16_t kPiecesVersion = 2;
constexpr uint16_t kNewestFormatVersion = kPiecesVersion;
// The program also reads every version from here on. Dropping one raises it.
constexpr uint16_t kOldestFormatVersion = 1;

// What a value is. It is stored in each value, and the checksum covers it.
enum class Kind : uint8_t {
  kIdentity = 1,         // fixed at creation: id, name, settings
  kState = 2,            // changes with each commit: counts, chunks, checkpoints, end of the sources, progress
  kSpans = 3,            // token ids and byte lengths of one block
  kEmbeddings = 4,       // embedding rows of one block
  kCheckpointIndex = 5,  // names and sizes of a checkpoint's parts
  kCheckpointPiece = 6,  // a stretch of a checkpoint's bytes
  kPageStates = 7,       // the keys and values of one page of tokens
  kPageKeys = 8,         // the mean keys of one page
  kSourcesPiece = 9,     // a stretch of the sources' text
};

// Column families of a context's RocksDB, in the order of opening. "default" must exist and stays empty. The families
// of further chunk kinds (format/chunk_kind.h) follow, in contexts that have them.
enum class Family : uint8_t { kManifest, kSpans, kEmbeddings, kCheckpoints, kPageStates, kPageKeys };
constexpr Family kFamilies[] = {Family::kManifest, Family::kSpans, Family::kEmbeddings, Family::kCheckpoints};
constexpr size_t kMaxFamilies = 16;

// Keys are the block number, 8 bytes big-endian, so that they sort as numbers.
//   manifest     kIdentityBlock, kStateBlock, kFirstSourcesBlock + piece: pieces count from 0
//   spans        the block's first token
//   embeddings   the block's first token
//   checkpoints  checkpoint_block(generation, piece): piece 0 is the index, pieces count from 1
constexpr uint64_t kIdentityBlock = 1, kStateBlock = 2, kFirstSourcesBlock = 16;
constexpr int kPieceBits = 24;
constexpr uint64_t kMaxPiece = (uint64_t{1} << kPieceBits) - 1, kMaxGeneration = (uint64_t{1} << 39) - 1;
constexpr uint64_t checkpoint_block(uint64_t generation, uint64_t piece) { return generation << kPieceBits | piece; }

// A block never holds more tokens than this, nor more embedding bytes than kMaxBlockBytes (except a single token).
constexpr int64_t kMaxBlockTokens = 4096;
constexpr int64_t kMaxBlockBytes = int64_t{4} << 20;
constexpr int32_t kMaxRowBytes = int32_t{1} << 20;
// Each chunk is cut into pages of so many tokens; its last one may have fewer.
constexpr int64_t kPageTokens = 32;
// Checkpoints are cut into pieces, so that memtables never hold much of one.
constexpr int64_t kPieceBytes = int64_t{1} << 20;
// The sources grow at their end, a little with each chunk. What a commit writes of them is about one piece.
constexpr size_t kSourcesPieceBytes = 4096;
// The most tokens of a context: 280 TB of rows. It keeps all arithmetic far from overflow.
constexpr int64_t kMaxTokens = int64_t{1} << 40;

// Value = frame header (16 bytes) + payload + checksum (8 bytes), all little-endian:
//   u16 format version, u8 kind, u8 zero, u32 payload bytes, u64 block number, payload, u64 checksum.
// The checksum is XXH3-64 over the context id (32 characters), the frame header and the payload: a right value under a
// wrong key, or in a wrong context, is found too.
constexpr size_t kFrameHeaderBytes = 16, kChecksumBytes = 8;
constexpr size_t kFrameBytes = kFrameHeaderBytes + kChecksumBytes;
constexpr size_t kIdChars = 32;  // lower-case hexadecimal

inline std::string key_of(uint64_t block) {
  std::string key(8, '\0');
  for (int i = 0; i < 8; ++i) key[size_t(i)] = char(block >> (56 - 8 * i));
  return key;
}

}  // namespace reform::schema
