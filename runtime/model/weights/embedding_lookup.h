// Rows of a token embedding that stays on the host: read there, copied beside the ops, and dequantised on the device.
#pragma once

#include <reform/status.h>

#include <memory>
#include <span>
#include <vector>

#include "base/memory.h"
#include "kernels/device.h"
#include "runtime/model/gguf.h"

namespace reform {

// Nobody waits for a block of rows until as many later ones as there are have been looked up: the rows of a chunk are
// read and copied while the device computes the chunk before.
class EmbeddingLookup {
 public:
  static constexpr int64_t kRows = 512;             // of a block
  static constexpr int64_t kBlocks = 16;            // that may be under way: a chunk's
  static int64_t block_bytes(const Weight& table);  // on the device, and n_blocks times on the host

  // All of these outlive it. With one block, each waits for the one before.
  static Result<std::unique_ptr<EmbeddingLookup>> create(const Gguf& gguf, const Weight& table, Device& device,
                                                         MemoryAccount& host, int64_t n_blocks);
  ~EmbeddingLookup();

  // As Ops::embed(). Ops only, for the ids last given to look_up().
  Status embed(Ops& ops, std::span<const int32_t> ids, float scale, MatView<float> out);
  // kRows at most; more are looked up by embed(). kCorrupt: there is no such token; kIo.
  Status look_up(std::span<const int32_t> ids);

 private:
  EmbeddingLookup(const Gguf& gguf, const Weight& table, Device& device)
      : gguf_(gguf), table_(table), device_(device) {}

  struct Block {
    PinnedBuffer rows;
    int64_t copy = -1;  // the last one, of these rows
  };
  const Gguf& gguf_;
  const Weight table_;  // where the host sees it
  Device& device_;
  Buffer<std::byte> rows_;  // the block that ops read
  std::vector<Block> blocks_;
  size_t next_ = 0;
  std::vector<int32_t> row_numbers_;  // 0, 1, 2, ...
  std::vector<int32_t> looked_up_;    // ids whose rows rows_ has
};

}  // namespace reform
