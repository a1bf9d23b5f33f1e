// The store: a directory of contexts, one RocksDB each, and the locks that keep processes out of each other's way.
// Knows bytes, tokens and blocks; knows no model. Layout and formats: docs/FORMAT.md, storage/format/schema.h.
//
//   <dir>/contexts/<id>/      one RocksDB: manifest, spans (token ids, byte lengths), embeddings, checkpoints; beside
//                             its files context.json: the name, and how far it is saved; and use.json: pin, last ask
//   <dir>/locks/<id>          flock: exclusive for the writer, shared for readers; a holder that dies leaves none
//   <dir>/limits.json         what the store may take (storage/limits/space.h)
//   <dir>/trash/              where rm renames to before it unlinks
//   <dir>/catalogue.json      what list() shows, cached: rebuilt from the contexts where it is missing, old or damaged
//   <dir>/store.json          says that the directory is a store, and of which format
//
// Thread-safety: ContextStore from any thread; a writer or a reader belongs to one thread at a time.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "storage/format/byte_stream.h"

namespace reform {

class Disk;
class MemoryAccount;

// A context's manifest. `settings`, `sources` and `progress` are JSON texts of the runtime's, opaque here.
struct ContextMeta {
  std::string id;    // directory name; made by the store, never reused
  std::string name;  // the user's
  int64_t created_unix_s = 0;
  int64_t n_tokens = 0;   // committed rows
  bool complete = false;  // finish() was called
  int32_t row_bytes = 0;  // of one embedding row; fixed at creation
  std::string settings;   // fixed at creation: model fingerprint, policy, chunk, budgets, heads
  std::string sources;    // files and where each begins; may change with each commit
  std::string progress;   // what the runtime needs to go on: hashes, bytes read; changes with each commit
};

// One chunk: everything here becomes visible in one atomic WriteBatch, or not at all.
struct ChunkWrite {
  int64_t begin_token = 0;                    // must equal n_tokens of the manifest
  std::span<const int32_t> token_ids;         // [n]
  std::span<const uint32_t> byte_lengths;     // [n] bytes of the source that each token covers
  std::span<const std::byte> embedding_rows;  // [n, row_bytes]
  std::string sources, progress;              // replace the manifest's
};

// A named part of a checkpoint (one layer's keys, say). Large parts are split inside.
struct CheckpointPart {
  std::string name;
  std::span<const std::byte> bytes;
};

struct Tokens {
  std::vector<int32_t> ids;  // [end - begin]
  std::vector<int64_t>
      begin_bytes;  // [end - begin + 1]: token i covers source bytes [begin_bytes[i], begin_bytes[i+1])
};

struct TokenRange {
  int64_t begin = 0, end = 0;
};

// The block size for rows of row_bytes, chosen once, when a context is made: no block has more tokens.
int32_t block_tokens_for(int32_t row_bytes);

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
  // Every embedding block in order, the next being read while fn runs. A failed Status from fn ends the scan with it.
  virtual Status scan_embeddings(const std::function<Status(const EmbeddingBlock&)>& fn) = 0;
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
  virtual Status save_checkpoint(int64_t n_tokens, std::span<const CheckpointPart> parts,
                                 std::span<const int64_t> keep) = 0;
  // Drops rows and checkpoints beyond n_tokens (a chunk boundary), durably; for resume and append. Clears `complete`.
  virtual Status truncate(int64_t n_tokens, const std::string& sources, const std::string& progress) = 0;
  // Marks the context complete, synced and compacted to its final size.
  virtual Status finish(const std::string& sources, const std::string& progress) = 0;
  // Before the work of a chunk is done: sees to it that below the store's cap, and on the disk, there is room for one
  // of so many bytes (ids, lengths, rows), a checkpoint and the finishing. kNoSpace says what is in the way; the writer
  // is as good as before. What was asked for last time is given back.
  virtual Status make_room(int64_t chunk_bytes, int64_t checkpoint_bytes) = 0;
};

struct ContextEntry {
  ContextMeta meta;
  int64_t disk_bytes = 0;         // all files of the context
  int64_t checkpoint_bytes = 0;   // of which checkpoints
  bool busy = false;              // a writer holds it now
  bool pinned = false;            // never evicted
  int64_t last_asked_unix_s = 0;  // 0: never
  bool replacement = false;       // not yet what its name stands for: see Which
  Status state;                   // not ok: why it cannot be read (kCorrupt, …); meta then holds id and perhaps name
};

// What the store may take on the disk, all of its files together; kept in the store, for every process.
struct StoreLimit {
  int64_t max_bytes = 0;  // 0: no cap
  bool evict = false;     // when it is reached: contexts go, the least recently asked first; else the writer stops
};

struct EvictedContext {
  std::string name;
  int64_t bytes = 0;
  int64_t last_used_unix_s = 0;  // asked, or else made
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
// What an archive has of a context's texts: nothing that only means something on this machine.
struct ArchiveTexts {
  std::string settings, sources;
};
struct ArchiveSummary {
  int64_t bytes = 0;
  std::string digest;  // XXH3-128 over all of it but its end, 32 hexadecimal digits
};
// Looks at what an archive holds before anything is written, and may change name and settings; not ok refuses it.
using AdmitArchive = std::function<Status(ContextMeta& meta)>;

// Told how far a long piece of work on one context is (total_bytes 0: unknown); a Status that is not ok stops it.
using ContextProgressFn = std::function<Status(const std::string& name, int64_t done_bytes, int64_t total_bytes)>;

// Which of the contexts of one name: the current one, or the one being made to take its place. The latter takes it in
// the instant that it is finished; until then the current one answers, and whatever happens to the other, stays.
enum class Which { kCurrent, kReplacement };

// What an open store takes at most with so many contexts open, beside the rows and parts its caller hands it: for a
// plan made beforehand. One of them may be scanned, or a checkpoint of it read, at a time.
int64_t planned_store_bytes(int64_t n_writers, int64_t n_readers);

class ContextStore {
 public:
  // Makes the directory (mode 0700) if there is none. `disk`: none is the fastest way that works there, or the one that
  // the environment's REFORM_IO names.
  static Result<std::unique_ptr<ContextStore>> open(const std::string& dir, MemoryAccount& account,
                                                    std::shared_ptr<const Disk> disk = nullptr);
  virtual ~ContextStore() = default;

  virtual const Disk& disk() const = 0;
  virtual Result<std::vector<ContextEntry>> list() = 0;  // by name, replacements last; damaged ones included
  // kNotFound names those that exist.
  virtual Result<ContextEntry> find(const std::string& name, Which which = Which::kCurrent) = 0;
  // A new, empty context; kExists if the name is taken. Names: 1-128 bytes of valid UTF-8 without control characters.
  // A replacement needs a current context (kNotFound), and there is one of them at most (kExists).
  virtual Result<std::unique_ptr<ContextWriter>> create(const std::string& name, int32_t row_bytes,
                                                        const std::string& settings, Which which = Which::kCurrent) = 0;
  // Takes the exclusive lock; kBusy names the holder's process.
  virtual Result<std::unique_ptr<ContextWriter>> open_writer(const std::string& name,
                                                             Which which = Which::kCurrent) = 0;
  // Shared lock, so any number of processes may read at once; kBusy while a writer holds it. Incomplete contexts may be
  // opened too: the caller looks at meta().
  virtual Result<std::unique_ptr<ContextData>> open_reader(const std::string& name) = 0;
  // Reads and checks all of the contexts named, replacements of theirs too; all there are where none is named. By name.
  // Damage is in the verdicts; the Status is of a name that is not there, or of what ended the check.
  virtual Result<std::vector<ContextVerdict>> verify(const std::vector<std::string>& names,
                                                     const ContextProgressFn& progress) = 0;
  // A complete context as one portable file (docs/FORMAT.md): the same bytes for the same context. kBusy if it is not
  // complete, or being written.
  virtual Result<ArchiveSummary> export_context(const std::string& name,
                                                const std::function<Result<ArchiveTexts>(const ContextMeta&)>& texts,
                                                const ByteSink& sink, const ContextProgressFn& progress) = 0;
  // The other way round. The context appears when all of it is there, checked and synced; otherwise nothing stays.
  // kExists if its name is taken; kCorrupt, without the file's name, says which part is damaged.
  virtual Result<ArchiveSummary> import_context(const ByteSource& source, const AdmitArchive& admit,
                                                const ContextProgressFn& progress) = 0;
  // Takes the exclusive lock, renames to trash/, unlinks. A context too damaged to open can be removed.
  // kCurrent: its replacement too.
  virtual Status remove(const std::string& name, Which which = Which::kCurrent) = 0;
  // Removes contexts whose place another has taken, but for those that somebody still reads. Done by open(), too.
  virtual Status remove_replaced() = 0;

  virtual Result<StoreLimit> limit() = 0;
  virtual Status set_limit(const StoreLimit& limit) = 0;
  virtual int64_t used_bytes() = 0;  // of the whole directory: sizes or allocated blocks, whichever is more
  // For who is about to write context `name`: below the cap now, contexts going if they may, or kNoSpace.
  virtual Status keep_limit(const std::string& name) = 0;
  virtual std::vector<EvictedContext> take_evicted() = 0;  // since the last call, by this store's writers
  // The context stays, whatever the cap says, until it is removed or let go.
  virtual Status set_pinned(const std::string& name, bool pinned) = 0;
  // That it has been asked just now. Best effort: a store that cannot be written is asked all the same.
  virtual void note_asked(const std::string& name) = 0;
};

}  // namespace reform
