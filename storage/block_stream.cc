#include "storage/block_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <vector>

#include "base/try.h"

namespace reform {
namespace {

struct StreamBatch {
  int64_t begin = 0, end = 0;
  BlockBatch blocks;
};

}  // namespace

Status stream_blocks(const Database& db, schema::Family family, schema::Kind kind, MemoryCategory category, int64_t n,
                     const std::function<BlockPlace(int64_t)>& place,
                     const std::function<Status(int64_t, std::span<const std::byte>)>& consume) {
  const auto read_from = [&](int64_t begin) -> Result<StreamBatch> {
    StreamBatch batch{begin, begin, {}};
    std::vector<uint64_t> blocks;
    std::vector<int64_t> payload_bytes;
    for (int64_t bytes = 0; batch.end < n; ++batch.end) {
      const BlockPlace next = place(batch.end);
      bytes += next.payload_bytes;
      if (!blocks.empty() && bytes > kStreamBatchBytes) break;
      blocks.push_back(next.block), payload_bytes.push_back(next.payload_bytes);
    }
    TRY_ASSIGN(batch.blocks, db.read(family, kind, blocks));
    for (size_t i = 0; i < blocks.size(); ++i) {
      const auto got = int64_t(batch.blocks.payloads[i].size());
      if (got == payload_bytes[i]) continue;
      return Status{Code::kCorrupt, fmt::format("{}: {} has {} bytes, expected {}", db.tag().text(),
                                                describe_block(kind, blocks[i]), got, payload_bytes[i])};
    }
    return batch;
  };
  if (n == 0) return {};
  int64_t total_bytes = 0;
  for (int64_t i = 0; i < n && total_bytes < 2 * kStreamBatchBytes; ++i) total_bytes += place(i).payload_bytes;
  TRY_ASSIGN(const auto memory,
             Reservation::create(db.account(), category, std::min(total_bytes, 2 * kStreamBatchBytes)));

  // Deferred only where the system has no more threads; then it simply reads in turn.
  constexpr auto kPolicy = std::launch::async | std::launch::deferred;
  std::future<Result<StreamBatch>> next = std::async(kPolicy, read_from, 0);
  for (int64_t done = 0; done < n;) {
    TRY_ASSIGN(const StreamBatch batch, next.get());
    if (batch.end < n) next = std::async(kPolicy, read_from, batch.end);
    for (int64_t i = batch.begin; i < batch.end; ++i) TRY(consume(i, batch.blocks.payloads[size_t(i - batch.begin)]));
    done = batch.end;
  }
  return {};
}

}  // namespace reform
