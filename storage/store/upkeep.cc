// How contexts leave a store (removed, replaced, evicted), and what protects them from that.
#include <fmt/format.h>

#include <chrono>
#include <set>
#include <utility>

#include "base/try.h"
#include "storage/disk/files.h"
#include "storage/store/eviction.h"
#include "storage/store/impl.h"

namespace reform {
namespace {

Status just_changed(const std::string& name) {
  return {Code::kBusy, fmt::format("context \"{}\" has just been changed by another process; run this again", name)};
}

}  // namespace

Status DirectoryStore::remove_context(const NamedContext& context, std::chrono::milliseconds patience) {
  FileLock lock;
  {
    TRY_ASSIGN(const auto names, dir_.lock_names());
    TRY_ASSIGN(lock, lock_context(context.id, context.name, FileLock::Mode::kExclusive, patience));
    TRY(dir_.move_out(context.id));
  }
  TRY(dir_.remove_files(context.id));
  return lock.unlink_and_release();
}

// A context is removed only after the one that it has replaced, which would be current again otherwise.
Status DirectoryStore::remove(const std::string& name, Which which) {
  TRY_ASSIGN(const NamedContext context, find_named(name, which));
  if (which == Which::kCurrent) {
    const auto replacement = find_named(name, Which::kReplacement);
    if (replacement.ok()) TRY(remove_context(replacement.value(), kPatience));
    const auto has_replaced = [&]() -> Result<bool> {
      if (context.replaced.empty()) return false;
      return dir_.has_context(context.replaced);
    };
    TRY_ASSIGN(const bool is_there, has_replaced());
    if (is_there) {
      const Status removed = remove_replaced(kPatience);
      TRY_ASSIGN(const bool is_still_there, has_replaced());
      if (is_still_there) return removed.ok() ? just_changed(name) : removed;
    }
  }
  const Status removed = remove_context(context, kPatience);
  if (removed.ok() || !dir_.has_lost(context.id)) return removed;
  return {removed.code, fmt::format("context \"{}\" is removed, but its files are not all gone: {}; the next command "
                                    "that writes to the store removes them",
                                    name, removed.message)};
}

Status DirectoryStore::remove_replaced(std::chrono::milliseconds patience) {
  TRY_ASSIGN(const auto contexts, named_contexts({}));
  Status busy_one;
  for (bool again = true; std::exchange(again, false);) {
    for (const NamedContext& context : contexts) {
      if (context.role != NamedContext::Role::kReplaced || dir_.has_lost(context.id)) continue;
      if (!context.replaced.empty() && !dir_.has_lost(context.replaced)) continue;
      const Status removed = remove_context(context, patience);
      again = again || removed.ok();
      if (!removed.ok() && removed.code != Code::kNotFound) busy_one = removed;
    }
  }
  return busy_one;
}

// Removes what nobody needs any more. It evicts contexts only if that is not enough for what is lacking now.
Status DirectoryStore::evict_for(const Shortage& shortage) {
  const int64_t before = space_->used_bytes();
  (void)dir_.sweep().ok();
  (void)remove_replaced().ok();
  Shortage left = shortage;
  left.lacking_bytes -= before - space_->used_bytes();
  left.taken_bytes -= before - space_->used_bytes();
  if (left.lacking_bytes <= 0) return {};
  TRY_ASSIGN(const auto contexts, named_contexts({}));
  std::set<std::string> kept = {shortage.id};  // the context being written, and those that others are to replace
  for (const NamedContext& context : contexts) kept.insert(context.replaces);
  std::vector<EvictionCandidate> candidates;
  for (const NamedContext& context : contexts) {
    if (context.role != NamedContext::Role::kCurrent || !context.complete || kept.count(context.id) > 0) continue;
    // If somebody still reads the context that it has replaced, that one would be current again.
    if (!context.replaced.empty() && !dir_.has_lost(context.replaced)) continue;
    const std::string dir = dir_.context_dir(context.id);
    const UseRecord use = read_use_record(dir_.disk(), dir);
    if (!use.pinned) candidates.push_back({context.id, context.name, last_use(dir_.disk(), dir, use)});
  }
  const std::lock_guard lock(evicted_mutex_);
  return evict(dir_, std::move(candidates), left, evicted_);
}

Status DirectoryStore::check_limit(const std::string& name) {
  const auto context = find_named(name, Which::kCurrent);
  return space_->check_limit(context.ok() ? context.value().id : "");
}

std::vector<EvictedContext> DirectoryStore::take_evicted() {
  const std::lock_guard lock(evicted_mutex_);
  return std::exchange(evicted_, {});
}

Status DirectoryStore::change_use(const NamedContext& context, const std::function<Status(UseRecord&)>& change) {
  // Room for it is kept below the cap: a user who must make room must be able to unpin.
  TRY_ASSIGN(const auto names, dir_.lock_names());  // nobody else removes or changes it meanwhile
  const std::string dir = dir_.context_dir(context.id);
  TRY_ASSIGN(const bool is_there, dir_.has_context(context.id));
  if (!is_there) return {Code::kNotFound, fmt::format("context \"{}\" has just been removed", context.name)};
  UseRecord use = read_use_record(dir_.disk(), dir);
  TRY(change(use));
  return write_use_record(dir_.disk(), dir, use);
}

Status DirectoryStore::set_pinned(const std::string& name, bool pinned) {
  TRY_ASSIGN(const NamedContext context, find_named(name, Which::kCurrent));
  return change_use(context, [&](UseRecord& use) -> Status {
    use.pinned = pinned;
    return {};
  });
}

void DirectoryStore::note_asked(std::span<const std::string> names) {
  const auto contexts = named_contexts(load_catalogue(dir_.disk(), dir_.path()));
  if (!contexts.ok()) return;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const int64_t now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  // Every context's record is read for it, so once for all names. Another process may give the same numbers meanwhile.
  int64_t number = next_use_number(dir_.disk(), dir_.path() + "/contexts");
  const auto note = [&](UseRecord& use) -> Status {
    if (!use.readable) return {Code::kCorrupt, "the use record cannot be read"};
    use.last_asked_unix_ms = now_ms;
    use.use_number = number;
    if (number < INT64_MAX) ++number;
    return {};
  };
  for (const std::string& name : names) {
    const auto context = find_in(contexts.value(), name, Which::kCurrent);
    if (context.ok()) (void)change_use(context.value(), note).ok();
  }
}

}  // namespace reform
