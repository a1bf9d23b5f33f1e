#include "storage/store/eviction.h"

#include <fmt/format.h>
#include <reform/units.h>

#include <algorithm>

#include "base/try.h"
#include "storage/disk/files.h"

namespace reform {
namespace {

constexpr size_t kNamedEvictable = 3;

std::string names_of(const std::vector<EvictionCandidate>& idle) {
  std::vector<std::string> names;
  for (const EvictionCandidate& one : idle) {
    if (names.size() < kNamedEvictable) names.push_back(fmt::format("\"{}\" ({})", one.name, format_bytes(one.bytes)));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

// `idle`: with evictions all contexts that may go; they do not suffice.
Status full(const Shortage& shortage, const StoreDirectory& dir, const std::vector<EvictionCandidate>& idle,
            int64_t all_bytes) {
  const int64_t max_bytes = shortage.limit.max_bytes, free_bytes = max_bytes - shortage.taken_bytes;
  const int64_t needed_bytes = free_bytes + shortage.lacking_bytes + shortage.later_bytes;
  std::string message = fmt::format("the store {} is full: {} of at most {} are taken", dir.path(),
                                    format_bytes(shortage.taken_bytes), format_bytes(max_bytes));
  if (!shortage.only_asks) message += fmt::format(", and up to {} more are needed", format_bytes(needed_bytes));
  if (idle.empty()) {
    const auto ids = dir.context_ids();
    const bool alone = ids.ok() && std::all_of(ids.value().begin(), ids.value().end(),
                                               [&](const std::string& id) { return id == shortage.id; });
    if (alone) return {Code::kNoSpace, message + ". No context may go, as there is no other; raise --max-store-bytes"};
    message +=
        ". No context may go: those there are pinned, in use, unfinished or unreadable; raise --max-store-bytes, or "
        "unpin or remove some";
    return {Code::kNoSpace, message};
  }
  message += fmt::format(". Asked least recently: {}; ", names_of(idle));
  if (all_bytes < shortage.lacking_bytes + shortage.later_bytes) {
    message += fmt::format("all that may go hold only {}{}: raise --max-store-bytes", format_bytes(all_bytes),
                           shortage.limit.evict ? ", so none was removed" : "");
  } else {
    message +=
        "remove some with reform rm, let them go by themselves with --when-full evict, or raise "
        "--max-store-bytes";
  }
  return {Code::kNoSpace, message};
}

Status remove(const StoreDirectory& dir, EvictionCandidate& one, std::vector<EvictedContext>& evicted) {
  {
    TRY_ASSIGN(const auto names, dir.lock_names());
    TRY(dir.move_out(one.id));
  }
  evicted.push_back({one.name, one.bytes, one.last_use.unix_ms / 1000});
  TRY(dir.remove_files(one.id));
  return one.lock.unlink_and_release();
}

}  // namespace

Status evict(const StoreDirectory& dir, std::vector<EvictionCandidate> candidates, const Shortage& shortage,
             std::vector<EvictedContext>& evicted) {
  std::sort(candidates.begin(), candidates.end(), [](const EvictionCandidate& a, const EvictionCandidate& b) {
    if (a.last_use.before(b.last_use) || b.last_use.before(a.last_use)) return a.last_use.before(b.last_use);
    return a.id < b.id;
  });
  const bool evicts = shortage.limit.evict;
  const int64_t wanted_bytes = shortage.lacking_bytes + shortage.later_bytes;
  std::vector<EvictionCandidate> idle;  // those that nobody uses, as many as are wanted
  size_t n_to_go = 0;                   // the first of them: enough for what is lacking now
  int64_t bytes = 0;
  for (EvictionCandidate& candidate : candidates) {
    if (evicts && bytes >= wanted_bytes) break;
    if (evicts) {
      auto taken = FileLock::acquire(dir.lock_path(candidate.id), FileLock::Mode::kExclusive);
      const auto there = dir.has_context(candidate.id);
      if (!taken.ok() || !there.ok() || !there.value()) continue;
      candidate.lock = std::move(taken).value();
    }
    candidate.bytes = tree_bytes(dir.context_dir(candidate.id));
    const bool goes = bytes < shortage.lacking_bytes;
    if (!goes || shortage.only_asks) candidate.lock = {};
    bytes += candidate.bytes;
    n_to_go += goes;
    idle.push_back(std::move(candidate));
  }
  if (!evicts || bytes < wanted_bytes) return full(shortage, dir, idle, bytes);
  if (shortage.only_asks) return {};
  for (size_t i = 0; i < n_to_go; ++i) TRY(remove(dir, idle[i], evicted));
  return {};
}

}  // namespace reform
