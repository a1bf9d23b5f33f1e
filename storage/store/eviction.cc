#include "storage/store/eviction.h"

#include <fmt/format.h>
#include <reform/units.h>

#include <algorithm>

#include "base/try.h"
#include "storage/disk/files.h"

namespace reform {
namespace {

constexpr size_t kNamesInMessage = 3;

Status full(const Shortage& shortage, const StoreDirectory& dir, const std::vector<EvictionCandidate>& idle) {
  std::string message = fmt::format(
      "the store {} is full: {} of at most {} are taken, and what is to be written would pass that by {}", dir.path(),
      format_bytes(shortage.taken_bytes), format_bytes(shortage.limit.max_bytes), format_bytes(shortage.lacking_bytes));
  if (idle.empty()) {
    message +=
        ". No context may go: those there are pinned, in use or unfinished; raise --max-store-bytes, or unpin "
        "or remove some";
    return {Code::kNoSpace, message};
  }
  std::vector<std::string> names;
  int64_t all_bytes = 0;
  for (const EvictionCandidate& one : idle) {
    if (names.size() < kNamesInMessage) names.push_back(fmt::format("\"{}\" ({})", one.name, format_bytes(one.bytes)));
    all_bytes += one.bytes;
  }
  message += fmt::format(". Asked least recently: {}; ", fmt::join(names, ", "));
  if (all_bytes < shortage.lacking_bytes) {
    message += fmt::format("all that may go hold only {}: raise --max-store-bytes", format_bytes(all_bytes));
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
  TRY(dir.disk().remove_tree(dir.trash_dir(one.id)));
  return one.lock.unlink_and_release();
}

}  // namespace

Status evict(const StoreDirectory& dir, std::vector<EvictionCandidate> candidates, const Shortage& shortage,
             std::vector<EvictedContext>& evicted) {
  std::sort(candidates.begin(), candidates.end(), [](const EvictionCandidate& a, const EvictionCandidate& b) {
    if (a.last_use.before(b.last_use) || b.last_use.before(a.last_use)) return a.last_use.before(b.last_use);
    return a.id < b.id;
  });
  std::vector<EvictionCandidate> idle;  // the contexts to evict
  int64_t bytes = 0;
  for (EvictionCandidate& candidate : candidates) {
    if (shortage.limit.evict && bytes >= shortage.lacking_bytes) break;
    if (shortage.limit.evict) {
      auto taken = FileLock::acquire(dir.lock_path(candidate.id), FileLock::Mode::kExclusive);
      if (!taken.ok() || !path_exists(dir.context_dir(candidate.id))) continue;
      candidate.lock = std::move(taken).value();
    }
    candidate.bytes = tree_bytes(dir.context_dir(candidate.id));
    bytes += candidate.bytes;
    idle.push_back(std::move(candidate));
  }
  if (!shortage.limit.evict || bytes < shortage.lacking_bytes) return full(shortage, dir, idle);
  for (EvictionCandidate& one : idle) TRY(remove(dir, one, evicted));
  return {};
}

}  // namespace reform
