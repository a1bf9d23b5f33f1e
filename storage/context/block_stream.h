// Streams blocks in order: while one batch is handed over, others are being read and checked by threads of the stream's
// own, so that a scan costs the slower of disk and compute, not their sum.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <functional>
#include <span>

#include "storage/context/database.h"
#include "storage/format/block_map.h"

namespace reform {

// A batch is one MultiGet: blocks up to so many bytes, or one block.
constexpr int64_t kStreamBatchBytes = int64_t{4} << 20;
static_assert(kStreamBatchBytes >= schema::kMaxBlockBytes && kStreamBatchBytes >= schema::kPieceBytes);
// So that the disk has 8 MiB and more to do while some of them copy and check: on two cores that others kept busy three
// were mostly enough, five and six no better.
constexpr int kStreamReaders = 4;
// What a stream takes at most. A batch that is being read is there twice, since RocksDB copies the values out of what
// it has read; one more is with the consumer.
constexpr int64_t kStreamBytes = (2 * kStreamReaders + 1) * kStreamBatchBytes;

// kCorrupt, naming context and block, unless a value of so many bytes may stand there.
Status check_size(const ContextTag& tag, schema::Kind kind, const BlockPlace& place, size_t payload_bytes);

// Calls consume(i, payload) for i in [0, n), in order, each of its place's size. `place` is called from other threads,
// by one at a time. Memory is counted under `category`. A failed Status from consume ends the stream with it.
Status stream_blocks(const Database& db, schema::Family family, schema::Kind kind, MemoryCategory category, int64_t n,
                     const std::function<BlockPlace(int64_t i)>& place,
                     const std::function<Status(int64_t i, std::span<const std::byte> payload)>& consume);

}  // namespace reform
