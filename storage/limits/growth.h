// What a writer is about to write, and the room that takes.
#pragma once

#include <reform/units.h>

#include <cstdint>

namespace reform {

// Without the files' own overhead. A claim is for what is next. What comes later claims its room when it is next, but
// contexts are evicted only if what else may be evicted has room for it as well: nobody loses a context to a text that
// does not fit in the end.
struct Growth {
  int64_t chunk_bytes = 0;       // rows, spans, state
  int64_t checkpoint_bytes = 0;  // its parts
  int64_t later_bytes = 0;       // on the disk, as far as it is known; 0 for a stream, whose length nobody knows
  bool may_evict = true;         // if the store's limit says so, too
};

// The most that these bytes of chunks take on the disk: RocksDB logs what it keeps in memory, and writes it as tables
// before the log goes (storage/context/database.cc). With more than its memory holds, the log stays at its bound, and a
// claim counts it twice.
inline int64_t logged_bytes(int64_t chunk_bytes) {
  constexpr int64_t kInMemory = 12 * kMiB, kMostLogs = 2 * 16 * kMiB;
  return chunk_bytes + (chunk_bytes <= kInMemory ? chunk_bytes : kMostLogs);
}

}  // namespace reform
