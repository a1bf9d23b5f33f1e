// Looks up rows of a token embedding that stays on the host. Rows are read on the host, copied while ops run, and
// dequantised on the device.
#pragma once

#include <reform/status.h>

#include <memory>
#include <span>
#include <vector>

#include "base/memory.h"
#include "kernels/device.h"
#include "runtime/model/gguf.h"

namespace reform {

// Blocks of rows are used in turn. The host waits for a block's copy only when that block's turn comes again, so the
// rows of a chunk are read and copied while the device computes the chunk before.
class EmbeddingLookup {
 public:
  static constexpr int64_t kRows = 512;             // per block
  static constexpr int64_t kBlocks = 16;            // with copies under way at most: enough for a chunk
  static int64_t block_bytes(const Weight& table);  // on the device, and n_blocks times on the host

  // All arguments must outlive the lookup. With one block, each look-up waits for the copy of the one before.
  static Result<std::unique_ptr<EmbeddingLookup>> create(const Gguf& gguf, const Weight& table, Device& device,
                                                         MemoryAccount& host, int64_t n_blocks);
  ~EmbeddingLookup();

  // As Ops::embed(). Issues only ops if `ids` are those last given to look_up().
  Status embed(Ops& ops, std::span<const int32_t> ids, float scale, MatView<float> out);
  // Looks up at most kRows ids. More ids are left to embed(). kCorrupt: there is no such token. kIo.
  Status look_up(std::span<const int32_t> ids);

 private:
  EmbeddingLookup(const Gguf& gguf, const Weight& table, Device& device)
      : gguf_(gguf), table_(table), device_(device) {}

  struct Block {
    PinnedBuffer rows;
    int64_t copy = -1;  // the last copy of `rows`
  };
  const Gguf& gguf_;
  const Weight table_;  // at its host address
  Device& device_;
  Buffer<std::byte> rows_;  // the block that ops read
  std::vector<Block> blocks_;
  size_t next_ = 0;
  std::vector<int32_t> row_numbers_;  // 0, 1, 2, ...
  std::vector<int32_t> looked_up_;    // ids of the rows in rows_
};

}  // namespace reform
