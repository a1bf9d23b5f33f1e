#include "storage/context_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <numeric>

#include "base/try.h"
#include "storage/catalogue.h"
#include "storage/context_name.h"
#include "storage/database.h"
#include "storage/files.h"
#include "storage/ledger.h"
#include "storage/store_directory.h"
#include "storage/stored_writer.h"

namespace reform {
namespace {

// How long a writer waits for readers to go: a list() in another process looks at a context for some milliseconds.
constexpr std::chrono::milliseconds kPatience{2000};
constexpr size_t kNamesInMessage = 10;

Status busy(const std::string& name, const Status& why) {
  if (why.code != Code::kBusy) return why;
  return {Code::kBusy, fmt::format("context \"{}\" is being {}: wait until it is done, or stop it", name, why.message)};
}

class Store final : public ContextStore {
 public:
  Store(StoreDirectory dir, MemoryAccount& account, Reservation cache_memory)
      : dir_(std::move(dir)), account_(account), cache_memory_(std::move(cache_memory)), cache_(make_block_cache()) {}

  Result<std::vector<ContextEntry>> list() override;
  Result<ContextEntry> find(const std::string& name) override;
  Result<std::unique_ptr<ContextWriter>> create(const std::string& name, int32_t row_bytes,
                                                const std::string& settings) override;
  Result<std::unique_ptr<ContextWriter>> open_writer(const std::string& name) override;
  Result<std::unique_ptr<ContextData>> open_reader(const std::string& name) override;
  Status remove(const std::string& name) override;

 private:
  Result<FileLock> lock_context(const std::string& id, const std::string& name, FileLock::Mode mode,
                                std::chrono::milliseconds patience);
  Result<StoredContext> open_context(const std::string& id, FileLock lock, Database::Mode mode);
  std::string name_of(const std::string& id, const Catalogue& catalogue) const;
  Result<std::string> id_of(const std::string& name) const;
  ContextEntry examine(const std::string& id, Catalogue& catalogue, bool& changed);
  void fill_from_database(ContextEntry& entry, FileLock lock, Catalogue& catalogue);
  void keep_in_catalogue(const Catalogue& found);
  Status create_files(const Identity& identity);

  const StoreDirectory dir_;
  MemoryAccount& account_;
  Reservation cache_memory_;
  std::shared_ptr<rocksdb::Cache> cache_;
};

// The name of a context whose ledger is gone may still be in the catalogue; else it is "".
std::string Store::name_of(const std::string& id, const Catalogue& catalogue) const {
  const auto ledger = read_ledger(dir_.context_dir(id));
  if (ledger.ok()) return ledger.value().name;
  const auto known = catalogue.find(id);
  return known == catalogue.end() ? std::string() : known->second.meta.name;
}

// A context that has lost its name answers to its id.
Result<std::string> Store::id_of(const std::string& name) const {
  TRY_ASSIGN(const auto ids, dir_.context_ids());
  const Catalogue catalogue = load_catalogue(dir_.path());
  std::vector<std::string> names;
  for (const std::string& id : ids) {
    const std::string known = name_of(id, catalogue);
    if (known == name || (known.empty() && id == name)) return id;
    names.push_back(fmt::format("\"{}\"", known.empty() ? id : known));
  }
  if (names.empty()) {
    return Status{Code::kNotFound, fmt::format("no context \"{}\" in {}: it has none yet", name, dir_.path())};
  }
  std::sort(names.begin(), names.end());
  const size_t n_more = names.size() - std::min(names.size(), kNamesInMessage);
  names.resize(names.size() - n_more);
  return Status{Code::kNotFound,
                fmt::format("no context \"{}\" in {}: it has {}{}", name, dir_.path(), fmt::join(names, ", "),
                            n_more ? fmt::format(" and {} more", n_more) : "")};
}

Result<FileLock> Store::lock_context(const std::string& id, const std::string& name, FileLock::Mode mode,
                                     std::chrono::milliseconds patience) {
  auto lock = FileLock::acquire(dir_.lock_path(id), mode, patience);
  if (!lock.ok()) return busy(name, lock.status());
  if (path_exists(dir_.context_dir(id))) return lock;
  // Removed since we looked. Its lock file, which we may just have made anew, is the next sweep's.
  return Status{Code::kNotFound, fmt::format("context \"{}\" has just been removed", name)};
}

Result<StoredContext> Store::open_context(const std::string& id, FileLock lock, Database::Mode mode) {
  return StoredContext::open(dir_.context_dir(id), std::move(lock), mode, cache_, account_);
}

void Store::fill_from_database(ContextEntry& entry, FileLock lock, Catalogue& catalogue) {
  const std::string& id = entry.meta.id;
  const auto before = measure_directory(dir_.context_dir(id));
  const auto context = open_context(id, std::move(lock), Database::Mode::kRead);
  if (!context.ok()) {
    entry.state = context.status();
    return;
  }
  entry.meta = context.value().meta();
  const auto& refs = context.value().state().checkpoints;
  entry.checkpoint_bytes = std::accumulate(refs.begin(), refs.end(), int64_t{0},
                                           [](int64_t sum, const CheckpointRef& ref) { return sum + ref.bytes; });
  catalogue[id] = {before.ok() ? before.value().stamp : 0, entry.meta, entry.checkpoint_bytes};
}

ContextEntry Store::examine(const std::string& id, Catalogue& catalogue, bool& changed) {
  ContextEntry entry;
  entry.meta.id = id;
  entry.meta.name = name_of(id, catalogue);
  auto lock = FileLock::acquire(dir_.lock_path(id), FileLock::Mode::kShared);
  entry.busy = lock.status().code == Code::kBusy;
  const auto size = measure_directory(dir_.context_dir(id));
  entry.disk_bytes = size.ok() ? size.value().bytes : 0;
  if (!lock.ok() && !entry.busy) entry.state = lock.status();
  const auto known = catalogue.find(id);
  if (entry.busy) {
    if (known != catalogue.end()) {
      entry.meta = known->second.meta;
      entry.checkpoint_bytes = known->second.checkpoint_bytes;
    }
    if (const auto ledger = read_ledger(dir_.context_dir(id)); ledger.ok()) {
      entry.meta.n_tokens = ledger.value().saved_tokens;
      entry.meta.complete = ledger.value().complete;
    }
  } else if (known != catalogue.end() && size.ok() && known->second.stamp == size.value().stamp) {
    entry.meta = known->second.meta;
    entry.checkpoint_bytes = known->second.checkpoint_bytes;
  } else if (lock.ok()) {
    fill_from_database(entry, std::move(lock).value(), catalogue);
    changed = true;
  }
  return entry;
}

// Best effort: without it the next list() opens some contexts again.
void Store::keep_in_catalogue(const Catalogue& found) {
  const auto names = dir_.lock_names();
  if (!names.ok()) return;
  Catalogue catalogue = load_catalogue(dir_.path());
  for (const auto& [id, entry] : found) catalogue[id] = entry;
  std::erase_if(catalogue, [&](const auto& item) { return !path_exists(dir_.context_dir(item.first)); });
  (void)save_catalogue(dir_.path(), catalogue).ok();
}

Result<std::vector<ContextEntry>> Store::list() {
  TRY_ASSIGN(const auto ids, dir_.context_ids());
  Catalogue catalogue = load_catalogue(dir_.path());
  std::vector<ContextEntry> entries;
  bool changed = false;
  for (const std::string& id : ids) entries.push_back(examine(id, catalogue, changed));
  if (changed) keep_in_catalogue(catalogue);
  std::sort(entries.begin(), entries.end(), [](const ContextEntry& a, const ContextEntry& b) {
    return std::tie(a.meta.name, a.meta.id) < std::tie(b.meta.name, b.meta.id);
  });
  return entries;
}

Result<ContextEntry> Store::find(const std::string& name) {
  TRY_ASSIGN(const std::string id, id_of(name));
  Catalogue catalogue = load_catalogue(dir_.path());
  bool changed = false;
  ContextEntry entry = examine(id, catalogue, changed);
  if (changed && entry.state.ok()) keep_in_catalogue({{id, catalogue[id]}});
  return entry;
}

// Made in trash/, where a half-made one is swept, and moved in when whole.
Status Store::create_files(const Identity& identity) {
  TRY(create_stored_context(dir_.trash_dir(identity.id), identity, cache_, account_));
  return dir_.move_in(identity.id);
}

Result<std::unique_ptr<ContextWriter>> Store::create(const std::string& name, int32_t row_bytes,
                                                     const std::string& settings) {
  TRY(check_context_name(name));
  if (row_bytes < 1 || row_bytes > schema::kMaxRowBytes) {
    return Status{Code::kUsage, fmt::format("rows of {} bytes: 1 to {} are possible", row_bytes, schema::kMaxRowBytes)};
  }
  Identity identity;
  identity.name = name;
  identity.created_unix_s = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  identity.row_bytes = row_bytes;
  identity.block_tokens = block_tokens_for(row_bytes);
  identity.settings = settings;
  TRY_ASSIGN(auto names, dir_.lock_names());
  const auto taken = id_of(name);
  if (taken.ok()) {
    return Status{Code::kExists, fmt::format("there is a context \"{}\" already in {}", name, dir_.path())};
  }
  if (taken.status().code != Code::kNotFound) return taken.status();
  TRY_ASSIGN(identity.id, StoreDirectory::new_id());
  TRY_ASSIGN(auto lock, FileLock::acquire(dir_.lock_path(identity.id), FileLock::Mode::kExclusive));
  if (const Status made = create_files(identity); !made.ok()) {
    (void)remove_tree(dir_.trash_dir(identity.id)).ok();
    (void)lock.unlink_and_release().ok();
    return made;
  }
  names.release();
  TRY_ASSIGN(auto context, open_context(identity.id, std::move(lock), Database::Mode::kWrite));
  keep_in_catalogue({{identity.id, {0, context.meta(), 0}}});  // so that list() can tell about it while it is busy
  TRY_ASSIGN(auto writer, StoredWriter::create(std::move(context)));
  return std::unique_ptr<ContextWriter>(std::move(writer));
}

Result<std::unique_ptr<ContextWriter>> Store::open_writer(const std::string& name) {
  TRY_ASSIGN(const std::string id, id_of(name));
  TRY_ASSIGN(auto lock, lock_context(id, name, FileLock::Mode::kExclusive, kPatience));
  TRY_ASSIGN(auto context, open_context(id, std::move(lock), Database::Mode::kWrite));
  TRY_ASSIGN(auto writer, StoredWriter::create(std::move(context)));
  return std::unique_ptr<ContextWriter>(std::move(writer));
}

Result<std::unique_ptr<ContextData>> Store::open_reader(const std::string& name) {
  TRY_ASSIGN(const std::string id, id_of(name));
  TRY_ASSIGN(auto lock, lock_context(id, name, FileLock::Mode::kShared, {}));
  TRY_ASSIGN(auto context, open_context(id, std::move(lock), Database::Mode::kRead));
  return std::unique_ptr<ContextData>(std::make_unique<WithReads<ContextData>>(std::move(context)));
}

Status Store::remove(const std::string& name) {
  FileLock lock;
  std::string id;
  {
    TRY_ASSIGN(const auto names, dir_.lock_names());
    TRY_ASSIGN(id, id_of(name));
    TRY_ASSIGN(lock, lock_context(id, name, FileLock::Mode::kExclusive, kPatience));
    TRY(dir_.move_out(id));
  }
  TRY(remove_tree(dir_.trash_dir(id)));
  return lock.unlink_and_release();
}

}  // namespace

Result<Tokens> ContextData::read_tokens(int64_t begin, int64_t end) {
  const TokenRange range{begin, end};
  TRY_ASSIGN(auto tokens, read_token_ranges({&range, 1}));
  return std::move(tokens[0]);
}

Result<std::unique_ptr<ContextStore>> ContextStore::open(const std::string& dir, MemoryAccount& account) {
  TRY_ASSIGN(auto directory, StoreDirectory::open(dir));
  (void)directory.sweep().ok();  // best effort, for the next one to try again: reading must not depend on it
  TRY_ASSIGN(auto memory, Reservation::create(account, MemoryCategory::kStore, kBlockCacheBytes));
  return std::unique_ptr<ContextStore>(new Store(std::move(directory), account, std::move(memory)));
}

}  // namespace reform
