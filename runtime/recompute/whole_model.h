// All layers of the model over a cache of their own.
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <memory>
#include <span>

#include "runtime/model/kv_cache.h"
#include "runtime/model/model.h"
#include "runtime/model/transformer.h"

namespace reform {

// What one has room for.
struct WholeModelSizes {
  int64_t prompt_tokens = 0;  // of the longest prompt
  int64_t capacity = 0;       // slots of the cache
  bool rotated_keys = true;   // false: the cache begins with stored keys, which are not rotated
};

class WholeModel {
 public:
  static OpLimits limits(const ModelShape& shape, const Device& device, const WholeModelSizes& sizes);
  // All memory is allocated here. The site's ops must have limits().
  static Result<WholeModel> create(const Model& model, const Site& site, KvView::Type kv_type,
                                   const WholeModelSizes& sizes);

  KvCache& cache() { return cache_; }
  void set_slot_bias(SlotBias bias) { slot_bias_ = std::move(bias); }  // of stored slots; it must outlive run()
  Transformer& transformer() { return *transformer_; }
  // Runs tokens behind those of the cache, in calls whose activations are small beside it.
  Status run(std::span<const int32_t> ids, const CancelToken* cancel);

 private:
  KvCache cache_;
  std::unique_ptr<Transformer> transformer_;
  int64_t last_layer_ = 0, call_tokens_ = 0;
  bool rotated_keys_ = true;
  SlotBias slot_bias_;
};

}  // namespace reform
