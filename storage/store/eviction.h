// Which contexts go when the store is full, or why none does.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <string>
#include <vector>

#include "storage/limits/space.h"
#include "storage/store/context_store.h"
#include "storage/store/directory.h"

namespace reform {

// A context that may go if its user lets go of it: complete, not pinned, and not the one being written or replaced.
struct EvictionCandidate {
  std::string id, name;
  int64_t last_used_unix_ms = 0;
  int64_t last_asked_unix_ms = 0;  // decides where they were last of use in the same millisecond
};

// The least recently used go until the shortage is over, if that can be and the limit says so; those that somebody
// reads stay. kNoSpace, with nothing gone, says what the user can do.
// What went is added to `evicted`, also when another could not.
Status evict(const StoreDirectory& dir, std::vector<EvictionCandidate> candidates, const Shortage& shortage,
             std::vector<EvictedContext>& evicted);

}  // namespace reform
