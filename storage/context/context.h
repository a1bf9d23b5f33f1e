// One context as its users see it: its manifest, and what may be read from it and written to it.
//
// Thread-safety: a writer or a reader belongs to one thread at a time.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/views.h"
#include "storage/format/chunk_kind.h"

namespace reform {

// A context's manifest. `settings`, `sources` and `progress` are JSON texts of the runtime's, opaque here.
struct ContextMeta {
  std::string id;    // directory name; made by the store, never reused
  std::string name;  // the user's
  int64_t created_unix_s = 0;
  int64_t n_tokens = 0;    // committed rows
  bool complete = false;   // finish() was called
  int32_t row_bytes = 0;   // of one embedding row; fixed at creation
  ExtraKinds extra_kinds;  // what its chunks leave beside token spans and embedding rows; fixed at creation
  std::string settings;    // fixed at creation: model fingerprint, policy, chunk, budgets, heads
  std::string sources;     // files and where each begins; may change with each commit
  std::string progress;    // what the runtime needs to go on: hashes, bytes read; changes with each commit
};

// One chunk: everything here becomes visible in one atomic WriteBatch, or not at all.
struct ChunkWrite {
  int64_t begin_token = 0;                 // must equal n_tokens of the manifest
  std::span<const int32_t> token_ids;      // [n]
  std::span<const uint32_t> byte_lengths;  // [n] bytes of the source that each token covers
  // One per kind of the context but the token spans, under the kind's name, in any order: [n, row_bytes] of kRows, any
  // bytes of kWhole.
  std::vector<NamedBytes> parts;
  std::string sources, progress;  // replace the manifest's
};

struct Tokens {
  std::vector<int32_t> ids;  // [end - begin]
  std::vector<int64_t>
      begin_bytes;  // [end - begin + 1]: token i covers source bytes [begin_bytes[i], begin_bytes[i+1])
};

struct EmbeddingBlock {
  int64_t begin_token = 0;
  int64_t n_tokens = 0;
  std::span<const std::byte> rows;  // [n_tokens, row_bytes]; valid during the callback only
};

// Reads of one context, common to the writer and the reader. Every value read is checked (checksum over context id,
// kind, block number and payload); damage is kCorrupt and names the context and block.
class ContextData {
 public:
  virtual ~ContextData() = default;
  virtual const ContextMeta& meta() const = 0;
  // Tokens [begin, end) of [0, n_tokens).
  Result<Tokens> read_tokens(int64_t begin, int64_t end);
  // Several ranges, in any order, read in batches: each block once, however many ranges lie in it. Answers in the order
  // asked.
  virtual Result<std::vector<Tokens>> read_token_ranges(std::span<const TokenRange> ranges) = 0;
  // Every value of a kind in order, with the tokens it is about, the next being read while fn runs; the bytes live
  // during the call. A failed Status from fn ends the scan with it. kNotFound where the context has no such kind.
  virtual Status scan(const ChunkKind& kind,
                      const std::function<Status(TokenRange tokens, std::span<const std::byte> bytes)>& fn) = 0;
  Status scan_embeddings(const std::function<Status(const EmbeddingBlock&)>& fn);
  // Checkpoints present, newest last: the number of tokens each one stands after.
  virtual Result<std::vector<int64_t>> checkpoints() = 0;
  // Reads checkpoint `n_tokens`: calls fn for each part in the order saved; fn copies the bytes out.
  virtual Status load_checkpoint(
      int64_t n_tokens, const std::function<Status(const std::string& name, std::span<const std::byte>)>& fn) = 0;
};

class ContextWriter : public ContextData {
 public:
  virtual Status commit_chunk(const ChunkWrite& chunk) = 0;
  // Durable when it returns: first the rows, then the checkpoint that follows them, both synced; what was there under
  // the same n_tokens is replaced atomically. Checkpoints not named in `keep` (by n_tokens) are dropped afterwards.
  virtual Status save_checkpoint(int64_t n_tokens, std::span<const NamedBytes> parts,
                                 std::span<const int64_t> keep) = 0;
  // Drops rows and checkpoints beyond n_tokens (a chunk boundary), durably; for resume and append. Clears `complete`.
  virtual Status truncate(int64_t n_tokens, const std::string& sources, const std::string& progress) = 0;
  // Marks the context complete, synced and compacted to its final size.
  virtual Status finish(const std::string& sources, const std::string& progress) = 0;
  // Called before a chunk is computed. Claims room, below the store's cap and on the disk, for a chunk of so many bytes
  // (ids, lengths, parts), a checkpoint and finish(). The claim replaces the one before. kNoSpace says what is in the
  // way; the writer can go on all the same.
  virtual Status claim_room(int64_t chunk_bytes, int64_t checkpoint_bytes) = 0;
};

// What verify() found of one context.
struct ContextVerdict {
  ContextMeta meta;  // as far as it can be read
  bool replacement = false;
  Status busy;                // not ok: a writer holds it, so nothing was checked
  int64_t checked_bytes = 0;  // of files and of values
  int64_t n_damages = 0;
  std::vector<Status> damages;  // the first of them, each with the context and the block or file
};

// Told how far a long piece of work on one context is (total_bytes 0: unknown); a Status that is not ok stops it.
using ContextProgressFn = std::function<Status(const std::string& name, int64_t done_bytes, int64_t total_bytes)>;

}  // namespace reform
