// The store: a directory of contexts, one RocksDB each, with locks between processes. It knows bytes, tokens and
// blocks, and no model. Layout and formats: docs/FORMAT.md, storage/format/schema.h.
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

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "storage/archive/archive.h"
#include "storage/context/context.h"
#include "storage/format/byte_stream.h"
#include "storage/limits/growth.h"
#include "storage/limits/store_limit.h"

namespace reform {

class Disk;
class MemoryAccount;

struct ContextEntry {
  ContextMeta meta;
  int64_t disk_bytes = 0;         // all files of the context
  int64_t checkpoint_bytes = 0;   // the checkpoints' part of that
  int64_t saved_tokens = 0;       // of meta.n_tokens, those that a restart does not recompute
  bool busy = false;              // a writer holds it now
  bool pinned = false;            // never evicted
  int64_t last_asked_unix_s = 0;  // 0: never
  bool replacement = false;       // not yet what its name stands for: see Which
  Status state;  // not ok: why it cannot be read (kCorrupt, …); meta then holds the id and perhaps the name
};

struct EvictedContext {
  std::string name;
  int64_t bytes = 0;
  int64_t last_used_unix_s = 0;  // asked or made, whichever is later
};

// Which of the contexts of one name: the current one, or the one that is being made to replace it. The replacement
// takes over in the instant that it is finished. Until then the current one answers, and it stays whatever happens to
// the other.
enum class Which { kCurrent, kReplacement };

// The most memory that an open store takes with this many contexts, beside the parts that its caller passes in. For
// planning ahead. At most one of the contexts is scanned, or has a checkpoint read, at a time, and not all readers are
// open.
int64_t planned_store_bytes(int64_t n_writers, int64_t n_readers);
// What a writer takes for its further kinds, beside that: the parts of a chunk of so many tokens while they are
// written, and memtables, which hold a part whole.
int64_t planned_part_bytes(const ExtraKinds& extra_kinds, int64_t chunk_tokens);

class ContextStore {
 public:
  // Makes the directory (mode 0700) if there is none. Without `disk`: the fastest way that works there, or the one that
  // the environment variable REFORM_IO names.
  static Result<std::unique_ptr<ContextStore>> open(const std::string& dir, MemoryAccount& account,
                                                    std::shared_ptr<const Disk> disk = nullptr);
  virtual ~ContextStore() = default;

  virtual const Disk& disk() const = 0;
  virtual Result<std::vector<ContextEntry>> list() = 0;  // by name, replacements last; damaged ones included
  // One for each name. kNotFound names the contexts that exist.
  virtual Result<std::vector<ContextEntry>> find_all(std::span<const std::string> names, Which which) = 0;
  Result<ContextEntry> find(const std::string& name, Which which = Which::kCurrent);
  // Makes a new, empty context. kExists if the name is taken, kBusy while its context is being written. Names:
  // storage/format/context_name.h. A replacement needs a current context (kNotFound), and there may be only one
  // (kExists). `first`: what the writer is sure to write first; room for it is claimed before the first byte, and in
  // one piece, as claim_room() does. kNoSpace: nothing is made.
  virtual Result<std::unique_ptr<ContextWriter>> create(const std::string& name, int32_t row_bytes,
                                                        const std::string& settings, Which which = Which::kCurrent,
                                                        const ExtraKinds& extra_kinds = {},
                                                        const Growth& first = {}) = 0;
  // Takes the exclusive lock; kBusy names the holder's process. `first`: as for create().
  virtual Result<std::unique_ptr<ContextWriter>> open_writer(const std::string& name, Which which = Which::kCurrent,
                                                             const Growth& first = {}) = 0;
  // Takes the shared lock, so any number of processes may read at once; kBusy while a writer holds it. It also opens
  // incomplete contexts: the caller looks at meta(). Of many readers only some are open and hold their lock at a time
  // (storage/store/reader_pool.h).
  virtual Result<std::vector<std::unique_ptr<ContextData>>> open_readers(std::span<const std::string> names,
                                                                         Which which = Which::kCurrent) = 0;
  Result<std::unique_ptr<ContextData>> open_reader(const std::string& name, Which which = Which::kCurrent);
  // Reads and checks all of the named contexts and their replacements, or of every context if none is named, in the
  // order of their names. The verdicts hold the damage. The Status is not ok if a name does not exist, or if the check
  // itself had to end.
  virtual Result<std::vector<ContextVerdict>> verify(const std::vector<std::string>& names,
                                                     const ContextProgressFn& progress) = 0;
  // Writes a complete context as one portable file (docs/FORMAT.md). The same context gives the same bytes. `edit`
  // may change what it says about this machine. kBusy if it is not complete, or being written.
  virtual Result<ArchiveSummary> export_context(const std::string& name, const EditMeta& edit, const ByteSink& sink,
                                                const ContextProgressFn& progress) = 0;
  // Makes a context from such a file. It appears once all of it is there, checked and synced; after an error nothing
  // stays. If the name is taken: unchanged if an export with `shown` gives the same bytes, else kExists. kCorrupt says
  // which part is damaged, without the file's name. `check` sees the whole context before anybody else does.
  using CheckContext = std::function<Status(ContextData& context)>;
  virtual Result<ArchiveSummary> import_context(const ByteSource& source, const EditMeta& admit,
                                                const ContextProgressFn& progress, const EditMeta& shown = {},
                                                const CheckContext& check = {}) = 0;
  // Takes the exclusive lock, renames to trash/, unlinks. It can also remove a context that is too damaged to open.
  // kCurrent: removes its replacement too.
  virtual Status remove(const std::string& name, Which which = Which::kCurrent) = 0;
  // Removes contexts that have been replaced, except those that somebody still reads. open() calls it too.
  virtual Status remove_replaced() = 0;

  virtual Result<StoreLimit> limit() = 0;
  virtual Status set_limit(const StoreLimit& limit) = 0;
  virtual int64_t used_bytes() = 0;  // of the whole directory: sizes or allocated blocks, whichever is more
  // Call it before work on context `name` begins. kNoSpace if the store is over its cap and evicting contexts may not
  // or cannot bring it below; a writer's first claim then does that.
  virtual Status check_limit(const std::string& name) = 0;
  virtual std::vector<EvictedContext> take_evicted() = 0;  // what this store's writers evicted since the last call
  // A pinned context is never evicted.
  virtual Status set_pinned(const std::string& name, bool pinned) = 0;
  // Notes that the context was just asked. Best effort: a store that cannot be written to can still be asked.
  virtual void note_asked(std::span<const std::string> names) = 0;
  void note_asked(const std::string& name) { note_asked({&name, 1}); }
};

}  // namespace reform
