// The cap on a store.
#pragma once

#include <cstdint>

namespace reform {

// What all files of the store together may take on the disk. It is kept in the store, for every process.
struct StoreLimit {
  int64_t max_bytes = 0;  // 0: no cap
  bool evict = false;     // at the cap: evict contexts, the least recently asked first; else the writer stops
};

}  // namespace reform
