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
#include "runtime/compress/row_outlet.h"
#include "runtime/model/kv_cache.h"
#include "runtime/model/transformer.h"
#include "runtime/model/weights/source.h"

namespace reform {

struct CompressOptions {
  const Policy* policy = nullptr;
  int64_t chunk_tokens = 0, cache_tokens = 0, sink_tokens = 0, overlap_tokens = 0;
  int32_t bos = -1;  // >= 0: run once before the first token (before each chunk when nothing is carried); has no row
  KvView::Type kv_type = KvView::Type::kF16;
  bool saves = false;  // parts() will be called
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

class Compressor {
 public:
  // The ops of a job, and what it uses of the weights.
  static OpLimits limits(const ModelShape& shape, const Device& device, const CompressSizes& sizes,
                         bool fp8_products = false);
  static WeightUse weights(const Heads& heads);
  // Everything is allocated here. The site's ops have limits().
  static Result<std::unique_ptr<Compressor>> create(const Model& model, const Site& site, const Heads& heads,
                                                    const CompressOptions& options, const CompressSizes& sizes);

  const EmbeddingLayout& layout() const { return layout_; }
  int64_t kv_len() const { return cache_.kv_len(); }

  // One chunk. `overlap` are the tokens just before it (only used where nothing is carried). Cancelled: the state is
  // unusable, load() or reset() it. Its rows may be read after wait_for() (row_outlet.h says until when).
  Result<RowsForHost> run_chunk(std::span<const int32_t> overlap, std::span<const int32_t> chunk,
                                const std::function<void(double)>& on_progress, const CancelToken* cancel);
  Status wait_for(const RowsForHost& rows);

  // Where nothing is carried: makes the cache questions are asked on, from the last kQuestionTailTokens (or all).
  Status run_tail(std::span<const int32_t> tail, const CancelToken* cancel);

  // The question's rows over the cache as it stands, which is left as it was. They are there.
  Result<std::span<const std::byte>> run_question(std::span<const int32_t> ids, const CancelToken* cancel);

  // Back to an empty cache.
  void reset();

  // The cache as it stands, to be stored before the next call.
  Result<std::vector<CachePart>> parts();
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
  std::unique_ptr<RowOutlet> outlet_;
  std::byte* rows_ = nullptr;     // of the call in hand, [call_tokens, row_bytes]
  Buffer<std::byte> parts_room_;  // for the cache as the host sees it, where parts() has to copy it
  int64_t loading_kv_len_ = 0;
  std::vector<int32_t> observers_, ids_;
  std::vector<float> observer_weights_;
};

}  // namespace reform
