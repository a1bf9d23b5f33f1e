// Phase 1, compress: chunks of tokens through layers [0, exit], a bounded cache per layer, one embedding row per token
// (REFORM, arXiv 2506.01215 section 3.1). Also the question's pass over a finished cache (section 3.2).
//
// Knows no files and no store: tokens in, rows and checkpoints out. One thread at a time.
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/views.h"
#include "kernels/device.h"
#include "runtime/compress/cache_parts.h"
#include "runtime/compress/embedding.h"
#include "runtime/compress/heads.h"
#include "runtime/compress/pages.h"
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
  bool saves = false;       // parts() will be called
  int64_t page_tokens = 0;  // > 0: run_chunk() records pages of so many tokens, if `saves`; needs full_depth
  bool full_depth = false;  // chunks run through all layers, each with a cache, and not only up to the exit layer
};

// The rows of the largest call and the slots of the cache, for an ingest and for a question on a stored cache.
struct CompressSizes {
  int64_t call_tokens = 0;
  int64_t capacity = 0;
};
CompressSizes ingest_sizes(const CompressOptions& options);
CompressSizes question_sizes(const CompressOptions& options, int64_t n_question_tokens);
// The most slots that a checkpoint holds.
int64_t stored_slots(const CompressOptions& options);
// The policy of a cache of n_layers layers and `capacity` slots; null if nothing is carried.
Result<std::unique_ptr<EvictionPolicy>> make_policy(const CompressOptions& options, const Site& site,
                                                    const ModelShape& shape, int64_t n_layers, int64_t capacity);

// If nothing is carried, questions are asked on a cache of this many last tokens of the text.
inline constexpr int64_t kQuestionTailTokens = 4096;

class Compressor {
 public:
  // The limits of a job's ops, and the weights that it uses: weights() for questions, ingest_weights() for chunks.
  static OpLimits limits(const ModelShape& shape, const Device& device, const CompressSizes& sizes,
                         bool fp8_products = false);
  static WeightUse weights(const Heads& heads);
  static WeightUse ingest_weights(const ModelShape& shape, const Heads& heads, const CompressOptions& options);
  // All memory is allocated here. The site's ops must have limits().
  static Result<std::unique_ptr<Compressor>> create(const Model& model, const Site& site, const Heads& heads,
                                                    const CompressOptions& options, const CompressSizes& sizes);

  const EmbeddingLayout& layout() const { return layout_; }
  int64_t kv_len() const { return cache_.kv_len(); }

  // Runs one chunk. `overlap` are the tokens just before it, used only if nothing is carried. After kCancelled only
  // undo_chunk() or reset() makes the state usable again. The rows may be read after wait_for(); row_outlet.h says
  // until when.
  Result<RowsForHost> run_chunk(std::span<const int32_t> overlap, std::span<const int32_t> chunk,
                                const std::function<void(double)>& on_progress, const CancelToken* cancel);
  Status wait_for(const RowsForHost& rows);
  // The pages of the last chunk, until the next one runs; empty unless they are recorded.
  ChunkPages pages() const { return recorder_ == nullptr ? ChunkPages{} : recorder_->pages(); }
  // After a chunk that was cancelled: parts() gives the state before it again, if this returns true. It does not where
  // the device has memory of its own. If no chunk was cut, nothing changes.
  bool undo_chunk();

  // Only if nothing is carried: makes the cache that questions are asked on, from the text's last kQuestionTailTokens
  // or from all of a shorter text.
  Status run_tail(std::span<const int32_t> tail, const CancelToken* cancel);

  // The question's rows, computed over the cache as it stands and ready to be read. The cache and the policy's state
  // stay as they were.
  Result<std::span<const std::byte>> run_question(std::span<const int32_t> ids, const CancelToken* cancel);

  // All layers over the cache as it stands, which stays as it was. Only at full depth.
  using StatesFn = std::function<void(int64_t layer, const LayerStates&)>;
  Status run_through(std::span<const int32_t> ids, const StatesFn& on_states, const CancelToken* cancel);

  // Back to an empty cache.
  void reset();

  // The cache and the policy's state as they are now, valid until the next call. They are copied only from a device
  // with memory of its own.
  Result<std::vector<NamedBytes>> parts();
  int64_t most_parts_bytes(int64_t n_tokens) const;  // once so many tokens have been run
  // Empties the cache, for a checkpoint that takes the place of what was there. It must not outlive this.
  CacheLoader loader();

 private:
  Compressor() = default;
  // to_exit: up to the exit layer's states, which is all that a row needs.
  Status run(std::span<const int32_t> ids, int64_t skip_tokens, bool to_exit, const CancelToken* cancel,
             ForwardHooks hooks = {});
  void evict();
  // Calls fn for each part of the policy's state with its bytes now and with their place in before_.
  void with_policy_state(const std::function<void(std::byte* now, std::byte* before, size_t n_bytes)>& fn);

  Device* device_ = nullptr;
  Ops* ops_ = nullptr;
  CompressOptions options_;
  Heads heads_;
  EmbeddingLayout layout_;
  int64_t exit_layer_ = 0;
  int64_t n_cached_ = 0;  // layers with a cache
  std::unique_ptr<Transformer> transformer_;
  KvCache cache_;
  std::unique_ptr<EvictionPolicy> policy_;  // nullptr if nothing is carried
  std::vector<StatePart> state_;            // what a checkpoint holds, in its order
  std::unique_ptr<RowOutlet> outlet_;
  std::unique_ptr<PageRecorder> recorder_;  // nullptr: no pages are recorded
  std::byte* rows_ = nullptr;               // of the current call, [call_tokens, row_bytes]
  Buffer<std::byte> parts_room_;            // what parts() copies, if the host does not see it
  Buffer<std::byte> before_;                // the policy's state before the current chunk, if the host sees it
  bool undoes_ = false;
  std::optional<int64_t> cut_kv_len_;  // while a chunk runs, and once it was cut: the slots before it
  std::vector<int32_t> ids_;
};

}  // namespace reform
