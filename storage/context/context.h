// One context as its users see it: its manifest, and how to read and write it.
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
#include "storage/limits/growth.h"

namespace reform {

// A context's manifest. `settings`, `sources` and `progress` are the runtime's JSON texts, which the store does not
// read.
struct ContextMeta {
  std::string id;    // the directory's name; the store makes it and never reuses it
  std::string name;  // the user's name for it
  int64_t created_unix_s = 0;
  int64_t n_tokens = 0;    // committed rows
  bool complete = false;   // finish() was called
  int32_t row_bytes = 0;   // of one embedding row; fixed at creation
  ExtraKinds extra_kinds;  // what its chunks leave beside token spans and embedding rows; fixed at creation
  std::string settings;    // fixed at creation: model fingerprint, policy, chunk, budgets, heads
  std::string sources;     // files and where each begins; may change with each commit
  std::string progress;    // what the runtime needs to go on: hashes, bytes read; changes with each commit
};

// One chunk. All of it becomes visible in one atomic WriteBatch, or none.
struct ChunkWrite {
  int64_t begin_token = 0;                 // must equal n_tokens of the manifest
  std::span<const int32_t> token_ids;      // [n]
  std::span<const uint32_t> byte_lengths;  // [n] bytes of source that each token covers
  // One part, under the kind's name, for each kind of the context except the token spans, in any order: the bytes of
  // all its values, one after the other.
  std::vector<NamedBytes> parts;
  std::string sources, progress;  // these replace the manifest's
};

struct Tokens {
  std::vector<int32_t> ids;  // [end - begin]
  std::vector<int64_t>
      begin_bytes;  // [end - begin + 1]: token i covers source bytes [begin_bytes[i], begin_bytes[i+1])
};

// What writer and reader share: reads of one context. Every value read is checked (a checksum over context id, kind,
// block number and payload). Damage is kCorrupt and names the context and block.
class ContextData {
 public:
  virtual ~ContextData() = default;
  virtual const ContextMeta& meta() const = 0;
  // Reads tokens [begin, end), within [0, n_tokens).
  Result<Tokens> read_tokens(int64_t begin, int64_t end);
  // Reads several ranges, in any order, in batches. Each block is read once, however many ranges lie in it. The answers
  // are in the order of `ranges`.
  virtual Result<std::vector<Tokens>> read_token_ranges(std::span<const TokenRange> ranges) = 0;
  // Passes every value of a kind to fn in order, with the tokens it is about. The next value is read while fn runs; the
  // bytes live during the call. If fn fails, the scan ends with its Status. kNotFound if the context has no such kind.
  virtual Status scan(const ChunkKind& kind,
                      const std::function<Status(TokenRange tokens, std::span<const std::byte> bytes)>& fn) = 0;
  // Passes every value of a kind that is about any of these tokens to fn: the ranges, none of them empty, in their
  // order. They are read together, as many at a time as a scan has memory for.
  virtual Status read_values(const ChunkKind& kind, std::span<const TokenRange> ranges,
                             const std::function<Status(TokenRange tokens, std::span<const std::byte> bytes)>& fn) = 0;
  // The checkpoints that exist, newest last: for each, the number of tokens before it.
  virtual Result<std::vector<int64_t>> checkpoints() = 0;
  // Reads checkpoint `n_tokens`: calls fn for each part in the order saved. fn must copy the bytes it wants to keep.
  virtual Status load_checkpoint(
      int64_t n_tokens, const std::function<Status(const std::string& name, std::span<const std::byte>)>& fn) = 0;
  // What was read since it was opened, its records included.
  virtual int64_t bytes_read() const = 0;
};

class ContextWriter : public ContextData {
 public:
  virtual Status commit_chunk(const ChunkWrite& chunk) = 0;
  // Durable on return: first the rows and then the checkpoint after them are synced. A checkpoint with the same
  // n_tokens is replaced atomically. Afterwards checkpoints that `keep` does not name (by n_tokens) are removed.
  virtual Status save_checkpoint(int64_t n_tokens, std::span<const NamedBytes> parts,
                                 std::span<const int64_t> keep) = 0;
  // Removes rows and checkpoints beyond n_tokens (a chunk boundary), durably; for resume and append. Clears `complete`.
  virtual Status truncate(int64_t n_tokens, const std::string& sources, const std::string& progress) = 0;
  // Marks the context complete and, in the same write, gives up the checkpoints that `dropped` names (by n_tokens).
  // Syncs it and compacts it to its final size.
  virtual Status finish(const std::string& sources, const std::string& progress,
                        std::span<const int64_t> dropped = {}) = 0;
  // Call it before a chunk is computed. It claims room, below the store's cap and on the disk, for the chunk (ids,
  // lengths, parts), a checkpoint and finish(). The claim replaces the last one. kNoSpace says what is in the way; the
  // writer may go on all the same.
  virtual Status claim_room(const Growth& growth) = 0;
};

// What verify() finds in one context.
struct ContextVerdict {
  ContextMeta meta;  // as far as it can be read
  bool replacement = false;
  Status busy;                  // not ok: a writer holds the context, so nothing was checked
  int64_t checked_bytes = 0;    // of files and of values
  int64_t n_damages = 0;        // what the system refused to read (kIo) included
  std::vector<Status> damages;  // the first of them; each names the context and the block or file
};

// Told how far long work on one context is (total_bytes 0: unknown). If its Status is not ok, the work stops.
using ContextProgressFn = std::function<Status(const std::string& name, int64_t done_bytes, int64_t total_bytes)>;

}  // namespace reform
