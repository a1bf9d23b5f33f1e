#include "storage/context_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <set>
#include <thread>

#include "base/try.h"
#include "storage/block_stream.h"
#include "storage/catalogue.h"
#include "storage/context_name.h"
#include "storage/database.h"
#include "storage/files.h"
#include "storage/ledger.h"
#include "storage/store_directory.h"
#include "storage/store_import.h"
#include "storage/stored_writer.h"
#include "storage/verify.h"

namespace reform {
namespace {

// How long a writer waits for readers to go (a list() in another process looks at a context for some milliseconds), and
// a reader for a writer who is done.
constexpr std::chrono::milliseconds kPatience{2000};
constexpr size_t kNamesInMessage = 10;

Status busy(const std::string& name, const Status& why) {
  if (why.code != Code::kBusy) return why;
  return {Code::kBusy, fmt::format("context \"{}\" is being {}: wait until it is done, or stop it", name, why.message)};
}

Status just_removed(const std::string& name) {
  return {Code::kNotFound, fmt::format("context \"{}\" has just been removed", name)};
}

// Who was looked up may have been replaced, and removed, before its lock was had: then there is another one now.
template <class Attempt>
auto twice_if_gone(const Attempt& attempt) {
  auto done = attempt();
  return done.status().code == Code::kNotFound ? attempt() : std::move(done);
}

struct NamedContext {
  std::string id;
  std::string name;  // "" if it is known no more: it then answers to its id
  enum class Role { kCurrent, kReplacement, kReplaced } role = Role::kCurrent;
  std::string replaced;  // id of the context whose place it has taken, if it has
  bool intact = false;   // its ledger can be read
};

class Store final : public ContextStore {
 public:
  Store(StoreDirectory dir, DatabaseShare share, Reservation cache_memory)
      : dir_(std::move(dir)), share_(std::move(share)), cache_memory_(std::move(cache_memory)) {}

  const Disk& disk() const override { return dir_.disk(); }
  Result<std::vector<ContextEntry>> list() override;
  Result<ContextEntry> find(const std::string& name, Which which) override;
  Result<std::unique_ptr<ContextWriter>> create(const std::string& name, int32_t row_bytes, const std::string& settings,
                                                Which which) override;
  Result<std::unique_ptr<ContextWriter>> open_writer(const std::string& name, Which which) override;
  Result<std::unique_ptr<ContextData>> open_reader(const std::string& name) override;
  Result<std::vector<ContextVerdict>> verify(const std::vector<std::string>& names,
                                             const ContextProgressFn& progress) override;
  Result<ArchiveSummary> export_context(const std::string& name,
                                        const std::function<Result<ArchiveTexts>(const ContextMeta&)>& texts,
                                        const ByteSink& sink, const ContextProgressFn& progress) override;
  Result<ArchiveSummary> import_context(const ByteSource& source, const AdmitArchive& admit,
                                        const ContextProgressFn& progress) override;
  Status remove(const std::string& name, Which which) override;
  Status remove_replaced() override { return remove_replaced(std::chrono::milliseconds{0}); }

 private:
  Result<ContextEntry> try_find(const std::string& name, Which which);
  Result<std::unique_ptr<ContextData>> try_open_reader(const std::string& name);
  Result<FileLock> lock_context(const std::string& id, const std::string& name, FileLock::Mode mode,
                                std::chrono::milliseconds patience);
  Result<StoredContext> open_context(const std::string& id, FileLock lock, Database::Mode mode);
  Result<std::vector<NamedContext>> named_contexts(const Catalogue& catalogue) const;
  Result<NamedContext> find_named(const std::string& name, Which which) const;
  Status verify_one(const NamedContext& context, const ContextProgressFn& progress, ContextVerdict& verdict);
  Status check_free(const std::string& name, Which which) const;
  Status remove_context(const NamedContext& context, std::chrono::milliseconds patience);
  Status remove_replaced(std::chrono::milliseconds patience);
  ContextEntry examine(const NamedContext& context, Catalogue& catalogue, bool& changed);
  void fill_from_database(ContextEntry& entry, FileLock lock, Catalogue& catalogue);
  void keep_in_catalogue(const Catalogue& found);
  Status create_files(const Identity& identity, const std::string& replaces);

  const StoreDirectory dir_;
  const DatabaseShare share_;
  Reservation cache_memory_;  // of share_.block_cache
};

// Every context by its ledger. The name of one whose ledger is gone may still be in the catalogue.
Result<std::vector<NamedContext>> Store::named_contexts(const Catalogue& catalogue) const {
  TRY_ASSIGN(const auto ids, dir_.context_ids());
  std::vector<NamedContext> contexts;
  std::set<std::string> replaced;
  std::map<std::string, std::string> to_replace;  // by the replacement's id
  for (const std::string& id : ids) {
    NamedContext& context = contexts.emplace_back(NamedContext{id, {}, {}, {}, false});
    if (const auto ledger = read_ledger(dir_.disk(), dir_.context_dir(id)); ledger.ok()) {
      context.name = ledger.value().name;
      context.intact = true;
      if (ledger.value().took_over) {
        context.replaced = ledger.value().replaces;
        replaced.insert(context.replaced);
      } else if (!ledger.value().replaces.empty()) {
        to_replace[id] = ledger.value().replaces;
      }
    } else if (const auto known = catalogue.find(id); known != catalogue.end()) {
      context.name = known->second.meta.name;
    }
  }
  for (NamedContext& context : contexts) {
    const auto place = to_replace.find(context.id);
    if (replaced.count(context.id) > 0) {
      context.role = NamedContext::Role::kReplaced;
    } else if (place != to_replace.end() && std::binary_search(ids.begin(), ids.end(), place->second)) {
      context.role = NamedContext::Role::kReplacement;
    }
  }
  return contexts;
}

Result<NamedContext> Store::find_named(const std::string& name, Which which) const {
  TRY_ASSIGN(const auto contexts, named_contexts(load_catalogue(dir_.disk(), dir_.path())));
  const auto wanted = which == Which::kCurrent ? NamedContext::Role::kCurrent : NamedContext::Role::kReplacement;
  std::vector<std::string> names;
  // A damaged one must not stand before a sound one of its name; it answers to its id, too.
  for (const bool intact : {true, false}) {
    for (const NamedContext& context : contexts) {
      if (context.role != wanted || context.intact != intact) continue;
      if (context.name == name || (!intact && context.id == name)) return context;
    }
  }
  for (const NamedContext& context : contexts) {
    if (context.role != NamedContext::Role::kCurrent) continue;
    names.push_back(fmt::format("\"{}\"", context.name.empty() ? context.id : context.name));
  }
  if (which == Which::kReplacement)
    return Status{Code::kNotFound, fmt::format("no replacement of context \"{}\" is being made", name)};
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
  return just_removed(name);
}

Result<StoredContext> Store::open_context(const std::string& id, FileLock lock, Database::Mode mode) {
  return StoredContext::open(dir_.context_dir(id), std::move(lock), mode, share_);
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

ContextEntry Store::examine(const NamedContext& context, Catalogue& catalogue, bool& changed) {
  const std::string& id = context.id;
  ContextEntry entry;
  entry.meta.id = id;
  entry.meta.name = context.name;
  entry.replacement = context.role == NamedContext::Role::kReplacement;
  auto lock = FileLock::acquire(dir_.lock_path(id), FileLock::Mode::kShared);
  entry.busy = lock.status().code == Code::kBusy;
  if (!path_exists(dir_.context_dir(id))) {  // with the lock, it would stay
    entry.state = just_removed(context.name);
    return entry;
  }
  const auto size = measure_directory(dir_.context_dir(id));
  entry.disk_bytes = size.ok() ? size.value().bytes : 0;
  if (!lock.ok() && !entry.busy) entry.state = lock.status();
  const auto known = catalogue.find(id);
  if (entry.busy) {
    if (known != catalogue.end()) {
      entry.meta = known->second.meta;
      entry.checkpoint_bytes = known->second.checkpoint_bytes;
    }
    if (const auto ledger = read_ledger(dir_.disk(), dir_.context_dir(id)); ledger.ok()) {
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
  Catalogue catalogue = load_catalogue(dir_.disk(), dir_.path());
  for (const auto& [id, entry] : found) catalogue[id] = entry;
  std::erase_if(catalogue, [&](const auto& item) { return !path_exists(dir_.context_dir(item.first)); });
  (void)save_catalogue(dir_.disk(), dir_.path(), catalogue).ok();
}

Result<std::vector<ContextEntry>> Store::list() {
  Catalogue catalogue = load_catalogue(dir_.disk(), dir_.path());
  TRY_ASSIGN(const auto contexts, named_contexts(catalogue));
  std::vector<ContextEntry> entries;
  bool changed = false;
  for (const NamedContext& context : contexts) {
    if (context.role == NamedContext::Role::kReplaced) continue;
    ContextEntry entry = examine(context, catalogue, changed);
    if (entry.state.code != Code::kNotFound) entries.push_back(std::move(entry));
  }
  if (changed) keep_in_catalogue(catalogue);
  std::sort(entries.begin(), entries.end(), [](const ContextEntry& a, const ContextEntry& b) {
    return std::tie(a.meta.name, a.replacement, a.meta.id) < std::tie(b.meta.name, b.replacement, b.meta.id);
  });
  return entries;
}

Result<ContextEntry> Store::find(const std::string& name, Which which) {
  return twice_if_gone([&] { return try_find(name, which); });
}

Result<ContextEntry> Store::try_find(const std::string& name, Which which) {
  TRY_ASSIGN(const NamedContext context, find_named(name, which));
  Catalogue catalogue = load_catalogue(dir_.disk(), dir_.path());
  bool changed = false;
  ContextEntry entry = examine(context, catalogue, changed);
  if (entry.state.code == Code::kNotFound) return entry.state;
  if (changed && entry.state.ok()) keep_in_catalogue({{context.id, catalogue[context.id]}});
  return entry;
}

// Made in trash/, where a half-made one is swept, and moved in when whole.
Status Store::create_files(const Identity& identity, const std::string& replaces) {
  TRY(create_stored_context(dir_.trash_dir(identity.id), identity, replaces, share_));
  return dir_.move_in(identity.id);
}

Status Store::check_free(const std::string& name, Which which) const {
  const auto taken = find_named(name, which);
  if (!taken.ok()) return taken.status().code == Code::kNotFound ? Status{} : taken.status();
  const char* what = which == Which::kCurrent ? "context" : "replacement of context";
  return {Code::kExists, fmt::format("there is a {} \"{}\" already in {}", what, name, dir_.path())};
}

Result<std::unique_ptr<ContextWriter>> Store::create(const std::string& name, int32_t row_bytes,
                                                     const std::string& settings, Which which) {
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
  TRY(check_free(name, which));
  std::string replaces;
  if (which == Which::kReplacement) {
    TRY_ASSIGN(const NamedContext current, find_named(name, Which::kCurrent));
    replaces = current.id;
  }
  TRY_ASSIGN(identity.id, StoreDirectory::new_id());
  TRY_ASSIGN(auto lock, FileLock::acquire(dir_.lock_path(identity.id), FileLock::Mode::kExclusive));
  if (const Status made = create_files(identity, replaces); !made.ok()) {
    (void)dir_.disk().remove_tree(dir_.trash_dir(identity.id)).ok();
    (void)lock.unlink_and_release().ok();
    return made;
  }
  names.release();
  TRY_ASSIGN(auto context, open_context(identity.id, std::move(lock), Database::Mode::kWrite));
  keep_in_catalogue({{identity.id, {0, context.meta(), 0}}});  // so that list() can tell about it while it is busy
  TRY_ASSIGN(auto writer, StoredWriter::create(std::move(context)));
  return std::unique_ptr<ContextWriter>(std::move(writer));
}

Result<std::unique_ptr<ContextWriter>> Store::open_writer(const std::string& name, Which which) {
  TRY_ASSIGN(const NamedContext found, find_named(name, which));
  TRY_ASSIGN(auto lock, lock_context(found.id, name, FileLock::Mode::kExclusive, kPatience));
  // What is written to a context that is being replaced would go with it.
  TRY_ASSIGN(const NamedContext still, find_named(name, which));
  const auto replacement = find_named(name, Which::kReplacement);
  if (which == Which::kCurrent && replacement.ok()) {
    const auto idle = FileLock::acquire(dir_.lock_path(replacement.value().id), FileLock::Mode::kShared);
    if (!idle.ok()) return busy(name, idle.status());
  }
  if (still.id != found.id)
    return Status{Code::kBusy, fmt::format("context \"{}\" has just been replaced; run this again", name)};
  TRY_ASSIGN(auto context, open_context(found.id, std::move(lock), Database::Mode::kWrite));
  TRY_ASSIGN(auto writer, StoredWriter::create(std::move(context)));
  return std::unique_ptr<ContextWriter>(std::move(writer));
}

Result<std::unique_ptr<ContextData>> Store::open_reader(const std::string& name) {
  return twice_if_gone([&] { return try_open_reader(name); });
}

Result<std::unique_ptr<ContextData>> Store::try_open_reader(const std::string& name) {
  TRY_ASSIGN(const NamedContext found, find_named(name, Which::kCurrent));
  auto lock = lock_context(found.id, name, FileLock::Mode::kShared, {});
  // Whoever writes a context that is complete is about to let go of it, or will begin to append in a moment.
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (lock.status().code == Code::kBusy && std::chrono::steady_clock::now() < deadline) {
    const auto ledger = read_ledger(dir_.disk(), dir_.context_dir(found.id));
    if (!ledger.ok() || !ledger.value().complete) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    lock = lock_context(found.id, name, FileLock::Mode::kShared, {});
  }
  TRY(lock);
  TRY_ASSIGN(auto context, open_context(found.id, std::move(lock).value(), Database::Mode::kRead));
  return std::unique_ptr<ContextData>(std::make_unique<WithReads<ContextData>>(std::move(context)));
}

Status Store::verify_one(const NamedContext& context, const ContextProgressFn& progress, ContextVerdict& verdict) {
  verdict.meta.id = context.id;
  verdict.meta.name = context.name;
  verdict.replacement = context.role == NamedContext::Role::kReplacement;
  auto lock = lock_context(context.id, context.name, FileLock::Mode::kShared, {});
  if (lock.status().code == Code::kBusy) {
    verdict.busy = lock.status();
    return {};
  }
  TRY(lock);
  auto opened = open_context(context.id, std::move(lock).value(), Database::Mode::kRead);
  if (opened.ok()) {
    verdict.meta = opened.value().meta();
    return verify_context(opened.value(), progress, verdict);
  }
  const Code code = opened.status().code;
  if (code != Code::kCorrupt && code != Code::kIo && code != Code::kNotFound) return opened.status();
  return verify_unopened(dir_.disk(), dir_.context_dir(context.id), {context.id, context.name}, opened.status(),
                         verdict);
}

Result<std::vector<ContextVerdict>> Store::verify(const std::vector<std::string>& names,
                                                  const ContextProgressFn& progress) {
  std::vector<NamedContext> chosen;
  for (const std::string& name : names) {
    TRY_ASSIGN(chosen.emplace_back(), find_named(name, Which::kCurrent));
    if (auto replacement = find_named(name, Which::kReplacement); replacement.ok())
      chosen.push_back(std::move(replacement).value());
  }
  if (names.empty()) {
    TRY_ASSIGN(chosen, named_contexts(load_catalogue(dir_.disk(), dir_.path())));
    std::erase_if(chosen, [](const NamedContext& c) { return c.role == NamedContext::Role::kReplaced; });
  }
  std::sort(chosen.begin(), chosen.end(), [](const NamedContext& a, const NamedContext& b) {
    return std::tie(a.name, a.role, a.id) < std::tie(b.name, b.role, b.id);
  });
  std::vector<ContextVerdict> verdicts;
  for (const NamedContext& context : chosen) {
    ContextVerdict verdict;
    const Status done = verify_one(context, progress, verdict);
    if (done.code == Code::kNotFound && names.empty()) continue;  // removed since we looked
    TRY(done);
    verdicts.push_back(std::move(verdict));
  }
  return verdicts;
}

Result<ArchiveSummary> Store::export_context(const std::string& name,
                                             const std::function<Result<ArchiveTexts>(const ContextMeta&)>& texts,
                                             const ByteSink& sink, const ContextProgressFn& progress) {
  TRY_ASSIGN(const NamedContext found, find_named(name, Which::kCurrent));
  TRY_ASSIGN(auto lock, lock_context(found.id, name, FileLock::Mode::kShared, {}));
  TRY_ASSIGN(auto context, open_context(found.id, std::move(lock), Database::Mode::kRead));
  if (!context.meta().complete) {
    return Status{Code::kBusy, fmt::format("context \"{}\" is not finished: run its ingest to its end first", name)};
  }
  TRY_ASSIGN(const ArchiveTexts changed, texts(context.meta()));
  return write_archive(context, changed, sink, progress);
}

Result<ArchiveSummary> Store::import_context(const ByteSource& source, const AdmitArchive& admit,
                                             const ContextProgressFn& progress) {
  archive::Reader in(source, *share_.account);
  TRY_ASSIGN(archive::Manifest manifest, read_archive_manifest(in));
  TRY(admit_archive(manifest, admit));
  TRY_ASSIGN(const std::string id, StoreDirectory::new_id());
  FileLock lock;
  {
    TRY_ASSIGN(const auto names, dir_.lock_names());
    TRY(check_free(manifest.name, Which::kCurrent));
    TRY_ASSIGN(lock, FileLock::acquire(dir_.lock_path(id), FileLock::Mode::kExclusive));
  }
  const auto make = [&]() -> Status {
    TRY_ASSIGN(lock, make_imported(dir_, share_, id, std::move(lock), in, manifest, progress));
    TRY_ASSIGN(const auto names, dir_.lock_names());
    TRY(check_free(manifest.name, Which::kCurrent));  // it may have been taken meanwhile
    return dir_.move_in(id);
  };
  if (const Status made = make(); !made.ok()) {
    drop_imported(dir_, id, std::move(lock));
    return made;
  }
  return ArchiveSummary{in.bytes(), in.digest()};
}

Status Store::remove_context(const NamedContext& context, std::chrono::milliseconds patience) {
  FileLock lock;
  {
    TRY_ASSIGN(const auto names, dir_.lock_names());
    TRY_ASSIGN(lock, lock_context(context.id, context.name, FileLock::Mode::kExclusive, patience));
    TRY(dir_.move_out(context.id));
  }
  TRY(dir_.disk().remove_tree(dir_.trash_dir(context.id)));
  return lock.unlink_and_release();
}

// A context goes only after the one it has replaced: that one would be current again.
Status Store::remove(const std::string& name, Which which) {
  TRY_ASSIGN(const NamedContext context, find_named(name, which));
  if (which == Which::kCurrent) {
    const auto replacement = find_named(name, Which::kReplacement);
    if (replacement.ok()) TRY(remove_context(replacement.value(), kPatience));
    const auto is_there = [&] { return !context.replaced.empty() && path_exists(dir_.context_dir(context.replaced)); };
    if (is_there()) {
      const Status removed = remove_replaced(kPatience);
      if (is_there()) return removed;
    }
  }
  return remove_context(context, kPatience);
}

Status Store::remove_replaced(std::chrono::milliseconds patience) {
  TRY_ASSIGN(const auto contexts, named_contexts({}));
  Status busy_one;
  for (bool again = true; std::exchange(again, false);) {
    for (const NamedContext& context : contexts) {
      if (context.role != NamedContext::Role::kReplaced || !path_exists(dir_.context_dir(context.id))) continue;
      if (!context.replaced.empty() && path_exists(dir_.context_dir(context.replaced))) continue;
      const Status removed = remove_context(context, patience);
      again = again || removed.ok();
      if (!removed.ok() && removed.code != Code::kNotFound) busy_one = removed;
    }
  }
  return busy_one;
}

}  // namespace

int64_t planned_store_bytes(int64_t n_writers, int64_t n_readers) {
  return kBlockCacheBytes + kStreamBytes + n_writers * Database::open_bytes(Database::Mode::kWrite) +
         n_readers * Database::open_bytes(Database::Mode::kRead);
}

Result<Tokens> ContextData::read_tokens(int64_t begin, int64_t end) {
  const TokenRange range{begin, end};
  TRY_ASSIGN(auto tokens, read_token_ranges({&range, 1}));
  return std::move(tokens[0]);
}

Result<std::unique_ptr<ContextStore>> ContextStore::open(const std::string& dir, MemoryAccount& account,
                                                         std::shared_ptr<const Disk> disk) {
  if (disk == nullptr) {
    TRY_ASSIGN(disk, Disk::chosen(dir));
  }
  TRY_ASSIGN(auto directory, StoreDirectory::open(dir, disk));
  (void)directory.sweep().ok();  // best effort, for the next one to try again: reading must not depend on it
  TRY_ASSIGN(auto memory, Reservation::create(account, MemoryCategory::kStore, kBlockCacheBytes));
  std::unique_ptr<ContextStore> store(
      new Store(std::move(directory), {disk, make_block_cache(), &account}, std::move(memory)));
  (void)store->remove_replaced().ok();
  return store;
}

}  // namespace reform
