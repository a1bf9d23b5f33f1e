// Phase 1, compress: chunks of tokens through layers [0, exit], a bounded cache per layer, one embedding row per token
// (REFORM, arXiv 2506.01215 section 3.1). Also the question's pass over a finished cache (section 3.2).
//
// Knows no files and no store: tokens in, rows and checkpoints out. One thread at a time.
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "runtime/compress/embedding.h"
#include "runtime/compress/heads.h"
#include "runtime/compress/policies/policy.h"
#include "runtime/model/kv_cache.h"
#include "runtime/model/transformer.h"

namespace reform {

struct CompressOptions {
  const Policy* policy = nullptr;
  int64_t chunk_tokens = 0, cache_tokens = 0, sink_tokens = 0, overlap_tokens = 0;
  int32_t bos = -1;  // >= 0: run once before the first token (before each chunk when nothing is carried); has no row
  KvView::Type kv_type = KvView::Type::kF16;
  bool fp8_products = false;  // of the ops (compress_limits()), for the plan
};

// Rows of the largest call and slots of the cache: what an ingest needs, and what asking a stored cache needs.
struct CompressSizes {
  int64_t call_tokens = 0;
  int64_t capacity = 0;
};
CompressSizes ingest_sizes(const CompressOptions& options);
CompressSizes question_sizes(const CompressOptions& options, int64_t n_question_tokens);

// Where nothing is carried, the cache that questions are asked on holds the last tokens of the text, this many.
inline constexpr int64_t kQuestionTailTokens = 4096;

// A named piece of a cache, for the store: one layer's keys of one head, say. Points into the cache.
struct CachePart {
  std::string name;
  std::span<const std::byte> bytes;
};

// Embedding rows [n_tokens, row_bytes], which a device with memory of its own copies out beside what it computes next.
struct RowsForHost {
  std::span<const std::byte> bytes;
  int64_t copy = -1;  // the device's, under way; -1: they are there
};

class Compressor {
 public:
  ~Compressor();
  // Everything is allocated here, but for the host's copy of a device's cache, which parts() makes. `ops` are the
  // device's; `host` is where copies of what a device has in memory of its own are counted.
  static Result<std::unique_ptr<Compressor>> create(const Model& model, Device& device, Ops& ops, MemoryAccount& host,
                                                    const Heads& heads, const CompressOptions& options,
                                                    const CompressSizes& sizes);

  const EmbeddingLayout& layout() const { return layout_; }
  int64_t kv_len() const { return cache_.kv_len(); }

  // One chunk. `overlap` are the tokens just before it (only used where nothing is carried). Cancelled: the state is
  // unusable, load() or reset() it. A device of its own is not waited for: its rows are there after wait_for(), and
  // stay until the next call but one begins; the host's until the next call does.
  Result<RowsForHost> run_chunk(std::span<const int32_t> overlap, std::span<const int32_t> chunk,
                                const std::function<void(double)>& on_progress, const CancelToken* cancel);
  Status wait_for(const RowsForHost& rows);

  // Where nothing is carried: makes the cache questions are asked on, from the last kQuestionTailTokens (or all).
  Status run_tail(std::span<const int32_t> tail, const CancelToken* cancel);

  // The question's rows over the cache as it stands, which is left as it was. They are there.
  Result<std::span<const std::byte>> run_question(std::span<const int32_t> ids, const CancelToken* cancel);

  // Back to an empty cache.
  void reset();

  // The cache as it stands, to be stored before the next call. Where the device's memory is the host's no copy is made.
  Result<std::vector<CachePart>> parts();
  int64_t parts_bytes() const;
  int64_t most_parts_bytes(int64_t n_tokens) const;  // once so many tokens have been run
  // And back, after reset(): each part in order, then finish_load(). What is stored is outside data: names and sizes
  // are checked (kCorrupt).
  Status load_part(int64_t index, const std::string& name, std::span<const std::byte> bytes);
  Status finish_load(int64_t n_parts);

 private:
  Compressor() = default;
  Status run(std::span<const int32_t> ids, int64_t skip_tokens, const std::function<void(double)>& on_progress,
             const CancelToken* cancel);
  void add_attention(int64_t layer, const AttentionArgs& args, MatView<const float> lse);
  void evict();
  std::span<float> scores_of(int64_t layer);
  Result<RowsForHost> copy_out(size_t n_tokens);
  Status take_row_buffer();
  // Part `index` of the cache: its name, where it starts, and its bytes per slot.
  struct Part {
    std::string name;
    std::byte* data = nullptr;
    int64_t slot_bytes = 0;
  };
  Part part(int64_t index) const;
  int64_t parts_per_layer() const;
  int64_t slot_bytes() const;  // of all parts

  Device* device_ = nullptr;
  MemoryAccount* host_ = nullptr;
  Ops* ops_ = nullptr;
  CompressOptions options_;
  Heads heads_;
  EmbeddingLayout layout_;
  int64_t exit_layer_ = 0;
  std::unique_ptr<Transformer> transformer_;
  KvCache cache_;
  bool observing_ = true;  // false while a question runs: it must not change the scores
  Buffer<float> scores_;   // [exit_layer, capacity] accumulated attention of each slot
  Buffer<int32_t> keep_;   // [cache_tokens] of one layer
  // [chunk_tokens, row_bytes], and the host's copy of them where it does not see the device's memory: then there are
  // two, and while one is copied out and stored the next call fills the other.
  struct RowBuffer {
    Buffer<std::byte> rows;
    PinnedBuffer host;
    int64_t copy = -1;  // the last one, of these rows
  };
  RowBuffer row_buffers_[2];
  RowBuffer* row_buffer_ = row_buffers_;  // of the call in hand
  Buffer<std::byte> host_parts_;          // the host's copy of the cache, likewise
  int64_t loading_kv_len_ = 0;
  std::vector<int32_t> observers_, ids_;
  std::vector<float> observer_weights_;
};

}  // namespace reform
