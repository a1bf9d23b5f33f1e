// Streams blocks in order. While the consumer has one batch, the stream's own threads read and check the next ones, so
// that a scan costs the slower of disk and compute, not their sum.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <functional>
#include <span>

#include "storage/context/database.h"
#include "storage/format/block_map.h"

namespace reform {

// A batch is one MultiGet: blocks up to this many bytes, or one block.
constexpr int64_t kStreamBatchBytes = int64_t{4} << 20;
static_assert(kStreamBatchBytes >= schema::kMaxBlockBytes && kStreamBatchBytes >= schema::kPieceBytes);
// Enough that the disk has 8 MiB and more to do while some readers copy and check. On two busy cores, three were mostly
// enough, and five and six were no better.
constexpr int kStreamReaders = 4;
// The most memory that a stream takes. A batch that is being read exists twice, as RocksDB copies the values out of
// what it has read. One more batch is with the consumer.
constexpr int64_t kStreamBytes = (2 * kStreamReaders + 1) * kStreamBatchBytes;

// kCorrupt, naming context and block, if a value of this size may not stand there.
Status check_size(const ContextTag& tag, schema::Kind kind, const BlockPlace& place, size_t payload_bytes);

// Calls consume(i, payload) for i in [0, n), in order; each payload has its place's size. Other threads call `place`,
// one at a time. Memory counts under `category`. If consume fails, the stream ends with its Status.
Status stream_blocks(const Database& db, schema::Family family, schema::Kind kind, MemoryCategory category, int64_t n,
                     const std::function<BlockPlace(int64_t i)>& place,
                     const std::function<Status(int64_t i, std::span<const std::byte> payload)>& consume);

}  // namespace reform
