// Which blocks a context has: its chunks, each cut into blocks. A chunk boundary is a block boundary, so blocks may
// differ in length. Most chunks are equal, so runs of equal chunks keep this small however long the text is.
#pragma once

#include <cstdint>
#include <vector>

namespace reform {

struct ChunkRun {
  int64_t chunk_tokens = 0;  // of each chunk; >= 1
  int64_t n_chunks = 0;      // >= 1
  bool operator==(const ChunkRun&) const = default;
};

struct TokenRange {
  int64_t begin = 0, end = 0;
  int64_t n_tokens() const { return end - begin; }
};

// Where a value is, and its size.
struct BlockPlace {
  uint64_t block = 0;
  int64_t payload_bytes = 0;
  bool at_most = false;  // payload_bytes is a bound; else it is the exact size
};

class BlockMap {
 public:
  explicit BlockMap(int64_t block_tokens = 1) : block_tokens_(block_tokens) {}

  void append_chunks(int64_t chunk_tokens, int64_t n_chunks);
  // False, and nothing changes, unless n_tokens is a chunk boundary.
  bool truncate(int64_t n_tokens);
  bool is_chunk_boundary(int64_t n_tokens) const;
  BlockMap cut_in(int64_t block_tokens) const;  // the same chunks in blocks of this size

  int64_t n_tokens() const { return n_tokens_; }
  int64_t n_blocks() const { return n_blocks_; }
  TokenRange block(int64_t index) const;  // index in [0, n_blocks())
  int64_t block_at(int64_t token) const;  // index of the block that holds token; token in [0, n_tokens())
  std::vector<ChunkRun> runs() const;
  int64_t block_tokens() const { return block_tokens_; }

 private:
  struct Run {
    ChunkRun chunks;
    int64_t begin_token, begin_block;
  };
  int64_t blocks_per_chunk(int64_t chunk_tokens) const { return (chunk_tokens - 1) / block_tokens_ + 1; }
  const Run& run_at_token(int64_t token) const;

  int64_t block_tokens_;
  int64_t n_tokens_ = 0, n_blocks_ = 0;
  std::vector<Run> runs_;
};

}  // namespace reform
