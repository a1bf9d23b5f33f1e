#include "storage/format/block_map.h"

#include <algorithm>

#include "base/try.h"

namespace reform {

void BlockMap::append_chunks(int64_t chunk_tokens, int64_t n_chunks) {
  CHECK(chunk_tokens >= 1 && n_chunks >= 1);
  if (runs_.empty() || runs_.back().chunks.chunk_tokens != chunk_tokens) {
    runs_.push_back({{chunk_tokens, 0}, n_tokens_, n_blocks_});
  }
  runs_.back().chunks.n_chunks += n_chunks;
  n_tokens_ += chunk_tokens * n_chunks;
  n_blocks_ += blocks_per_chunk(chunk_tokens) * n_chunks;
}

bool BlockMap::is_chunk_boundary(int64_t n_tokens) const {
  if (n_tokens < 0 || n_tokens > n_tokens_) return false;
  if (n_tokens == n_tokens_) return true;
  const Run& run = run_at_token(n_tokens);
  return (n_tokens - run.begin_token) % run.chunks.chunk_tokens == 0;
}

bool BlockMap::truncate(int64_t n_tokens) {
  if (!is_chunk_boundary(n_tokens)) return false;
  while (!runs_.empty() && runs_.back().begin_token >= n_tokens) runs_.pop_back();
  n_tokens_ = n_tokens, n_blocks_ = 0;
  if (runs_.empty()) return true;
  Run& last = runs_.back();
  last.chunks.n_chunks = (n_tokens - last.begin_token) / last.chunks.chunk_tokens;
  n_blocks_ = last.begin_block + last.chunks.n_chunks * blocks_per_chunk(last.chunks.chunk_tokens);
  return true;
}

BlockMap BlockMap::cut_in(int64_t block_tokens) const {
  BlockMap map(block_tokens);
  for (const Run& run : runs_) map.append_chunks(run.chunks.chunk_tokens, run.chunks.n_chunks);
  return map;
}

TokenRange BlockMap::block(int64_t index) const {
  CHECK(index >= 0 && index < n_blocks_);
  const auto after =
      std::upper_bound(runs_.begin(), runs_.end(), index, [](int64_t i, const Run& r) { return i < r.begin_block; });
  const Run& run = *std::prev(after);
  const int64_t per_chunk = blocks_per_chunk(run.chunks.chunk_tokens);
  const int64_t in_run = index - run.begin_block;
  const int64_t chunk_begin = run.begin_token + in_run / per_chunk * run.chunks.chunk_tokens;
  const int64_t begin = chunk_begin + in_run % per_chunk * block_tokens_;
  return {begin, std::min(begin + block_tokens_, chunk_begin + run.chunks.chunk_tokens)};
}

int64_t BlockMap::block_at(int64_t token) const {
  CHECK(token >= 0 && token < n_tokens_);
  const Run& run = run_at_token(token);
  const int64_t in_run = token - run.begin_token;
  const int64_t chunk = in_run / run.chunks.chunk_tokens, in_chunk = in_run % run.chunks.chunk_tokens;
  return run.begin_block + chunk * blocks_per_chunk(run.chunks.chunk_tokens) + in_chunk / block_tokens_;
}

std::vector<ChunkRun> BlockMap::runs() const {
  std::vector<ChunkRun> runs;
  for (const Run& run : runs_) runs.push_back(run.chunks);
  return runs;
}

const BlockMap::Run& BlockMap::run_at_token(int64_t token) const {
  const auto after =
      std::upper_bound(runs_.begin(), runs_.end(), token, [](int64_t t, const Run& r) { return t < r.begin_token; });
  return *std::prev(after);
}

}  // namespace reform
