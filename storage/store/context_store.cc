#include "storage/store/context_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <set>
#include <thread>

#include "base/try.h"
#include "storage/context/block_stream.h"
#include "storage/context/stored_writer.h"
#include "storage/disk/files.h"
#include "storage/disk/ledger.h"
#include "storage/format/context_name.h"
#include "storage/store/impl.h"

namespace reform {
namespace {

constexpr size_t kNamesInMessage = 10;
// What the catalogue takes for some more entries, in blocks.
constexpr int64_t kCatalogueBytes = 16 << 10;

Status busy(const std::string& name, const Status& why) {
  if (why.code != Code::kBusy) return why;
  return {Code::kBusy, fmt::format("context \"{}\" is being {}: wait until it is done, or stop it", name, why.message)};
}

Status just_removed(const std::string& name) {
  return {Code::kNotFound, fmt::format("context \"{}\" has just been removed", name)};
}

// A context may be replaced and removed between its lookup and its lock. The second attempt finds the new one.
template <class Attempt>
auto twice_if_gone(const Attempt& attempt) {
  auto done = attempt();
  return done.status().code == Code::kNotFound ? attempt() : std::move(done);
}

}  // namespace

// Every context, by its ledger. If a ledger is gone, the catalogue may still have the name.
Result<std::vector<NamedContext>> DirectoryStore::named_contexts(const Catalogue& catalogue) const {
  TRY_ASSIGN(const auto ids, dir_.context_ids());
  std::vector<NamedContext> contexts;
  std::set<std::string> replaced;
  std::map<std::string, std::string> to_replace;  // by the replacement's id
  for (const std::string& id : ids) {
    NamedContext& context = contexts.emplace_back(NamedContext{id, {}, {}, {}, {}, false, false, {}});
    if (const auto ledger = read_ledger(dir_.disk(), dir_.context_dir(id)); ledger.ok()) {
      context.name = ledger.value().name;
      context.intact = true;
      context.complete = ledger.value().complete;
      if (ledger.value().took_over) {
        context.replaced = ledger.value().replaces;
        replaced.insert(context.replaced);
      } else if (!ledger.value().replaces.empty()) {
        to_replace[id] = context.replaces = ledger.value().replaces;
      }
    } else {
      if (ledger.status().code != Code::kCorrupt) context.unread = ledger.status();
      if (const auto known = catalogue.find(id); known != catalogue.end()) context.name = known->second.meta.name;
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

Result<NamedContext> DirectoryStore::find_named(const std::string& name, Which which) const {
  TRY_ASSIGN(const auto contexts, named_contexts(load_catalogue(dir_.disk(), dir_.path())));
  return find_in(contexts, name, which);
}

Result<NamedContext> DirectoryStore::find_in(const std::vector<NamedContext>& contexts, const std::string& name,
                                             Which which) const {
  const auto wanted = which == Which::kCurrent ? NamedContext::Role::kCurrent : NamedContext::Role::kReplacement;
  std::vector<std::string> names;
  // A damaged context must not hide an intact one of its name. It also answers to its id.
  for (const bool intact : {true, false}) {
    for (const NamedContext& context : contexts) {
      if (context.role != wanted || context.intact != intact) continue;
      if (context.name == name || (!intact && context.id == name)) return context;
    }
  }
  for (const NamedContext& context : contexts) {
    if (context.role != NamedContext::Role::kCurrent) continue;
    // The context asked for may be the one that could not be read. "Not there" would be wrong, and a second one of its
    // name would be worse.
    if (which == Which::kCurrent && context.name.empty()) {
      TRY(context.unread);
      return Status{Code::kCorrupt,
                    fmt::format("no context \"{}\" in {}; context {} is damaged and has lost its name, so "
                                "it may be this one; `reform rm {}` removes it",
                                name, dir_.path(), context.id, context.id)};
    }
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

Result<FileLock> DirectoryStore::lock_context(const std::string& id, const std::string& name, FileLock::Mode mode,
                                              std::chrono::milliseconds patience) {
  auto lock = FileLock::acquire(dir_.lock_path(id), mode, patience);
  if (!lock.ok()) return busy(name, lock.status());
  TRY_ASSIGN(const bool is_there, dir_.has_context(id));
  if (is_there) return lock;
  // Removed since the lookup. We may just have made its lock file anew; the next sweep removes that.
  return just_removed(name);
}

// A writer has claimed room before, as opening writes its first bytes.
Result<StoredContext> DirectoryStore::open_context(const std::string& id, FileLock lock, Database::Mode mode,
                                                   std::shared_ptr<SpaceClaim> claim) {
  return StoredContext::open(dir_.context_dir(id), std::move(lock), mode, share_, std::move(claim));
}

void DirectoryStore::fill_from_database(ContextEntry& entry, FileLock lock, Catalogue& catalogue) {
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

ContextEntry DirectoryStore::examine(const NamedContext& context, Catalogue& catalogue, bool& changed) {
  const std::string& id = context.id;
  ContextEntry entry;
  entry.meta.id = id;
  entry.meta.name = context.name;
  entry.replacement = context.role == NamedContext::Role::kReplacement;
  auto lock = FileLock::acquire(dir_.lock_path(id), FileLock::Mode::kShared);
  entry.busy = lock.status().code == Code::kBusy;
  // The lock is held, so it cannot go after this.
  if (const auto there = dir_.has_context(id); !there.ok() || !there.value()) {
    entry.state = there.ok() ? just_removed(context.name) : there.status();
    return entry;
  }
  const auto size = measure_directory(dir_.context_dir(id));
  if (!size.ok() && !entry.busy) {
    entry.state = size.status();
    return entry;
  }
  entry.disk_bytes = size.ok() ? size.value().bytes : 0;
  const UseRecord use = read_use_record(dir_.disk(), dir_.context_dir(id));
  entry.pinned = use.pinned;
  entry.last_asked_unix_s = use.last_asked_unix_ms / 1000;
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
  entry.saved_tokens = entry.meta.n_tokens;
  if (entry.meta.complete || entry.busy || !entry.state.ok()) return entry;
  const auto ledger = read_ledger(dir_.disk(), dir_.context_dir(id));
  if (ledger.ok()) entry.saved_tokens = std::min(entry.saved_tokens, ledger.value().saved_tokens);
  return entry;
}

// Best effort: without it the next list() opens some contexts again.
void DirectoryStore::keep_in_catalogue(const Catalogue& found) {
  const auto save = [&]() -> Status {
    TRY_ASSIGN(const auto names, dir_.lock_names());
    Catalogue catalogue = load_catalogue(dir_.disk(), dir_.path());
    for (const auto& [id, entry] : found) catalogue[id] = entry;
    std::erase_if(catalogue, [&](const auto& item) { return dir_.has_lost(item.first); });
    return save_catalogue(dir_.disk(), dir_.path(), catalogue);
  };
  int64_t bytes = kCatalogueBytes;
  for (const auto& [id, entry] : found) {
    bytes += 2 * int64_t(entry.meta.settings.size() + entry.meta.sources.size() + entry.meta.progress.size());
  }
  (void)space_->write_small(bytes + tree_bytes(dir_.path() + "/catalogue.json"), save);
}

Result<std::vector<ContextEntry>> DirectoryStore::list() {
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

Result<std::vector<ContextEntry>> DirectoryStore::find_all(std::span<const std::string> names, Which which) {
  return twice_if_gone([&] { return try_find(names, which); });
}

Result<std::vector<ContextEntry>> DirectoryStore::try_find(std::span<const std::string> names, Which which) {
  Catalogue catalogue = load_catalogue(dir_.disk(), dir_.path()), learnt;
  TRY_ASSIGN(const auto contexts, named_contexts(catalogue));
  std::vector<ContextEntry> entries;
  for (const std::string& name : names) {
    TRY_ASSIGN(const NamedContext context, find_in(contexts, name, which));
    bool changed = false;
    entries.push_back(examine(context, catalogue, changed));
    const Status& state = entries.back().state;
    if (state.code == Code::kNotFound) return state;
    if (changed && state.ok()) learnt[context.id] = catalogue[context.id];
  }
  if (!learnt.empty()) keep_in_catalogue(learnt);
  return entries;
}

// Not ok unless a context of this name, or a replacement of it, may be made now: kBusy while somebody makes or writes
// what has the name, else kExists. Returns the id of the context to replace.
Result<std::string> DirectoryStore::check_free(const std::string& name, Which which) const {
  const auto taken = find_named(name, which);
  if (taken.ok()) {
    const auto idle = FileLock::acquire(dir_.lock_path(taken.value().id), FileLock::Mode::kShared);
    if (!idle.ok()) return busy(name, idle.status());
    const char* what = which == Which::kCurrent ? "context" : "replacement of context";
    return Status{Code::kExists, fmt::format("there is a {} \"{}\" already in {}", what, name, dir_.path())};
  }
  if (taken.status().code != Code::kNotFound) return taken.status();
  if (which == Which::kCurrent) return std::string();
  TRY_ASSIGN(NamedContext current, find_named(name, Which::kCurrent));
  return std::move(current.id);
}

// A context is made in trash/, where a sweep removes a half-made one, and moved in when it is whole.
Result<std::unique_ptr<ContextWriter>> DirectoryStore::create(const std::string& name, int32_t row_bytes,
                                                              const std::string& settings, Which which,
                                                              const ExtraKinds& extra_kinds, const Growth& first) {
  if (which == Which::kCurrent) TRY(check_context_name(name));
  if (row_bytes < 1 || row_bytes > schema::kMaxRowBytes) {
    return Status{Code::kUsage, fmt::format("rows of {} bytes: 1 to {} are possible", row_bytes, schema::kMaxRowBytes)};
  }
  if (const auto kinds = kinds_of(row_bytes, extra_kinds); !kinds.ok()) {
    return Status{Code::kUsage, fmt::format("context \"{}\" {}", name, kinds.status().message)};
  }
  Identity identity;
  identity.name = name;
  identity.created_unix_s = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  identity.row_bytes = row_bytes;
  identity.extra_kinds = extra_kinds;
  identity.block_tokens = block_tokens_for(row_bytes, extra_kinds);
  identity.settings = settings;
  TRY_ASSIGN(std::string replaces, check_free(name, which));
  TRY_ASSIGN(identity.id, StoreDirectory::new_id());
  TRY_ASSIGN(auto lock, FileLock::acquire(dir_.lock_path(identity.id), FileLock::Mode::kExclusive, kPatience));
  // From now on nobody evicts the context to be replaced. If a writer holds it, that lock protects it as well.
  Result<FileLock> kept = FileLock();
  if (!replaces.empty()) kept = FileLock::acquire(dir_.lock_path(replaces), FileLock::Mode::kShared);
  const auto claim = space_->open_claim(identity.id);
  const auto make = [&]() -> Status {
    TRY(claim->plan_opening(first));
    TRY(create_stored_context(dir_.trash_dir(identity.id), identity, replaces, share_));
    TRY_ASSIGN(const auto still_space, space_->hold_still());
    TRY_ASSIGN(const auto names, dir_.lock_names());
    TRY_ASSIGN(const std::string still, check_free(name, which));
    if (still == replaces) return dir_.move_in(identity.id);
    return {Code::kBusy, fmt::format("context \"{}\" has just been replaced; run this again", name)};
  };
  if (const Status made = make(); !made.ok()) {
    (void)dir_.disk().remove_tree(dir_.trash_dir(identity.id)).ok();
    (void)lock.unlink_and_release().ok();
    return made;
  }
  TRY_ASSIGN(auto context, open_context(identity.id, std::move(lock), Database::Mode::kWrite, claim));
  keep_in_catalogue({{identity.id, {0, context.meta(), 0}}});  // so that list() can describe it while it is busy
  TRY_ASSIGN(auto writer, StoredWriter::create(std::move(context)));
  return std::unique_ptr<ContextWriter>(std::move(writer));
}

Result<std::unique_ptr<ContextWriter>> DirectoryStore::open_writer(const std::string& name, Which which,
                                                                   const Growth& first) {
  TRY_ASSIGN(const NamedContext found, find_named(name, which));
  TRY_ASSIGN(auto lock, lock_context(found.id, name, FileLock::Mode::kExclusive, kPatience));
  // Anything written to a context that is being replaced would be lost with it.
  TRY_ASSIGN(const NamedContext still, find_named(name, which));
  const auto replacement = find_named(name, Which::kReplacement);
  if (which == Which::kCurrent && replacement.ok()) {
    const auto idle = FileLock::acquire(dir_.lock_path(replacement.value().id), FileLock::Mode::kShared);
    if (!idle.ok()) return busy(name, idle.status());
  }
  if (still.id != found.id)
    return Status{Code::kBusy, fmt::format("context \"{}\" has just been replaced; run this again", name)};
  const auto claim = space_->open_claim(found.id);
  TRY(claim->plan_opening(first));
  TRY_ASSIGN(auto context, open_context(found.id, std::move(lock), Database::Mode::kWrite, claim));
  TRY_ASSIGN(auto writer, StoredWriter::create(std::move(context)));
  return std::unique_ptr<ContextWriter>(std::move(writer));
}

Result<std::vector<std::unique_ptr<ContextData>>> DirectoryStore::open_readers(std::span<const std::string> names,
                                                                               Which which) {
  const auto deadline = std::chrono::steady_clock::now() + kReaderPatience;
  return twice_if_gone([&] { return try_open_readers(names, which, deadline); });
}

Result<std::vector<std::unique_ptr<ContextData>>> DirectoryStore::try_open_readers(
    std::span<const std::string> names, Which which, std::chrono::steady_clock::time_point deadline) {
  TRY_ASSIGN(const auto contexts, named_contexts(load_catalogue(dir_.disk(), dir_.path())));
  std::vector<std::unique_ptr<ContextData>> readers;
  for (const std::string& name : names) {
    TRY_ASSIGN(NamedContext context, find_in(contexts, name, which));
    context.name = name;
    TRY_ASSIGN(auto reader, open_reader_of(context, deadline));
    readers.push_back(std::move(reader));
  }
  return readers;
}

Result<std::unique_ptr<ContextData>> DirectoryStore::open_reader_of(const NamedContext& found,
                                                                    std::chrono::steady_clock::time_point deadline) {
  const std::string& name = found.name;
  auto lock = lock_context(found.id, name, FileLock::Mode::kShared, {});
  // The writer of a complete context will release it, remove it, or begin to append in a moment.
  while (lock.status().code == Code::kBusy && std::chrono::steady_clock::now() < deadline) {
    const auto ledger = read_ledger(dir_.disk(), dir_.context_dir(found.id));
    if (!ledger.ok() && dir_.has_lost(found.id)) return just_removed(name);
    if (!ledger.ok() || !ledger.value().complete) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    lock = lock_context(found.id, name, FileLock::Mode::kShared, {});
  }
  TRY(lock);
  readers_->make_room();
  TRY_ASSIGN(auto context, open_context(found.id, std::move(lock).value(), Database::Mode::kRead));
  return readers_->make_reader(std::move(context));
}

int64_t planned_store_bytes(int64_t n_writers, int64_t n_readers) {
  return kBlockCacheBytes + kStreamBytes + n_writers * Database::open_bytes(Database::Mode::kWrite) +
         std::min(n_readers, kMostOpenReaders) * Database::open_bytes(Database::Mode::kRead);
}

int64_t planned_part_bytes(const ExtraKinds& extra_kinds, int64_t chunk_tokens) {
  int64_t bytes = 0;
  for (const auto& [name, row_bytes] : extra_kinds) {
    const ContextKind held{find_chunk_kind(name), row_bytes};
    CHECK(held.kind != nullptr);
    const int64_t part_bytes = held.part_of(chunk_tokens).payload_bytes;
    bytes += part_bytes + kMemtables * std::max(held.kind->memtable_bytes, part_bytes);
  }
  return bytes;
}

Result<ContextEntry> ContextStore::find(const std::string& name, Which which) {
  TRY_ASSIGN(auto entries, find_all({&name, 1}, which));
  return std::move(entries[0]);
}

Result<std::unique_ptr<ContextData>> ContextStore::open_reader(const std::string& name, Which which) {
  TRY_ASSIGN(auto readers, open_readers({&name, 1}, which));
  return std::move(readers[0]);
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
  (void)directory.sweep().ok();  // best effort, the next open() tries again: reading must not depend on it
  TRY_ASSIGN(auto memory, Reservation::create(account, MemoryCategory::kStore, kBlockCacheBytes));
  auto space = std::make_shared<Space>(directory.path(), disk);
  DatabaseShare share{space->disk(), make_block_cache(), &account};
  std::unique_ptr<ContextStore> store(
      new DirectoryStore(std::move(directory), std::move(space), std::move(share), std::move(memory)));
  (void)store->remove_replaced().ok();
  return store;
}

}  // namespace reform
