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

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/archive/archive.h"
#include "storage/context/context.h"
#include "storage/format/byte_stream.h"
#include "storage/limits/store_limit.h"

namespace reform {

class Disk;
class MemoryAccount;

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

struct EvictedContext {
  std::string name;
  int64_t bytes = 0;
  int64_t last_used_unix_s = 0;  // asked, or else made
};

// Which of the contexts of one name: the current one, or the one being made to take its place, which it does in the
// instant that it is finished. Until then the current one answers, and stays, whatever happens to the other.
enum class Which { kCurrent, kReplacement };

// Memory that an open store takes at most with so many contexts open, beside the parts that its caller hands it: for a
// plan made beforehand. One of the contexts may be scanned, or a checkpoint of it read, at a time. Each further chunk
// kind of a writer's context adds two memtables (ChunkKind::memtable_bytes).
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
                                                        const std::string& settings, Which which = Which::kCurrent,
                                                        const ExtraKinds& extra_kinds = {}) = 0;
  // Takes the exclusive lock; kBusy names the holder's process.
  virtual Result<std::unique_ptr<ContextWriter>> open_writer(const std::string& name,
                                                             Which which = Which::kCurrent) = 0;
  // Shared lock, so any number of processes may read at once; kBusy while a writer holds it. Incomplete contexts may be
  // opened too: the caller looks at meta().
  virtual Result<std::unique_ptr<ContextData>> open_reader(const std::string& name) = 0;
  // Reads and checks all of the contexts named and their replacements, or every context where none is named; in the
  // order of their names. Damage is in the verdicts. The Status is not ok for a name that is not there, or where the
  // check itself had to end.
  virtual Result<std::vector<ContextVerdict>> verify(const std::vector<std::string>& names,
                                                     const ContextProgressFn& progress) = 0;
  // A complete context as one portable file (docs/FORMAT.md): the same bytes for the same context. kBusy if it is not
  // complete, or being written.
  virtual Result<ArchiveSummary> export_context(const std::string& name,
                                                const std::function<Result<ArchiveTexts>(const ContextMeta&)>& texts,
                                                const ByteSink& sink, const ContextProgressFn& progress) = 0;
  // The other way round. The context appears once all of it is there, checked and synced; after an error nothing stays.
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
  // Called before context `name` is written. Brings the store below its cap, evicting contexts if that is allowed;
  // kNoSpace if it cannot.
  virtual Status keep_limit(const std::string& name) = 0;
  virtual std::vector<EvictedContext> take_evicted() = 0;  // since the last call, by this store's writers
  // A pinned context is never evicted.
  virtual Status set_pinned(const std::string& name, bool pinned) = 0;
  // Notes that it has been asked just now. Best effort: a store that cannot be written to can still be asked.
  virtual void note_asked(const std::string& name) = 0;
};

}  // namespace reform
