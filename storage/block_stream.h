// Streams blocks in order: a batch is handed over while a helper thread reads the next, so that a scan costs the
// slower of disk and compute, not their sum.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <functional>
#include <span>

#include "storage/database.h"

namespace reform {

// The bytes of one batch; two are held at a time. 8 MiB: past it, a cold scan gets no faster.
constexpr int64_t kStreamBatchBytes = int64_t{8} << 20;

struct BlockPlace {
  uint64_t block = 0;
  int64_t payload_bytes = 0;  // what it must have, else kCorrupt
};

// Calls consume(i, payload) for i in [0, n), in order. `place` may be called from the helper thread. Memory is counted
// under `category`. A failed Status from consume ends the stream with it.
Status stream_blocks(const Database& db, schema::Family family, schema::Kind kind, MemoryCategory category, int64_t n,
                     const std::function<BlockPlace(int64_t i)>& place,
                     const std::function<Status(int64_t i, std::span<const std::byte> payload)>& consume);

}  // namespace reform
