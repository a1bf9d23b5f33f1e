// Which contexts are evicted when the store is full, or why none is.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <string>
#include <vector>

#include "storage/disk/file_lock.h"
#include "storage/limits/space.h"
#include "storage/limits/use_record.h"
#include "storage/store/context_store.h"
#include "storage/store/directory.h"

namespace reform {

// A context that may be evicted: complete, not pinned, and neither being written nor being replaced.
struct EvictionCandidate {
  std::string id, name;
  LastUse last_use;
  int64_t bytes = 0;   // evict() finds them
  FileLock lock = {};  // evict() takes it of those that go, so that no reader opens the context meanwhile
};

// Removes the least recently used contexts until nothing is lacking now, if the limit allows it and all that may go
// would suffice for later, too. Those that somebody reads stay. Otherwise it removes none, and kNoSpace says what the
// user can do. It adds what it removed to `evicted`, even if removing another failed.
Status evict(const StoreDirectory& dir, std::vector<EvictionCandidate> candidates, const Shortage& shortage,
             std::vector<EvictedContext>& evicted);

}  // namespace reform
