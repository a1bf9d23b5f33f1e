// The cap on a store.
#pragma once

#include <cstdint>

namespace reform {

// What the store may take on the disk, all of its files together; kept in the store, for every process.
struct StoreLimit {
  int64_t max_bytes = 0;  // 0: no cap
  bool evict = false;     // when it is reached: contexts go, the least recently asked first; else the writer stops
};

}  // namespace reform
