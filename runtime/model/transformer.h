// The forward pass, written once over the op list. Compress and its question pass run it up to an early-exit layer with
// un-rotated keys, the head search up to a layer with rotated keys, and decode through all layers with rotated keys.
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <functional>
#include <span>

#include "runtime/model/kv_cache.h"
#include "runtime/model/model.h"

namespace reform {

// The states of all heads of a layer: before RoPE, and after QK-norm where the model has one (cached keys are, too).
struct LayerStates {
  MatView<const float> q;  // [n_tokens, n_heads * head_dim]
  MatView<const float> k;  // [n_tokens, n_kv_heads * head_dim]
  MatView<const float> v;  // [n_tokens, n_kv_heads * head_dim]
};

struct ForwardHooks {
  // Called after a layer's projections, if set.
  std::function<void(int64_t layer, const LayerStates&)> on_states;
  // Called after a layer's attention, while q (rotated) and the cache are unchanged: an eviction policy observes here.
  // lse [n_heads, n_tokens] is filled only if this hook is set.
  std::function<void(int64_t layer, const AttentionArgs&, MatView<const float> lse)> on_attention;
  // Called between ops, a few times per layer. `done` is this call's progress in [0, 1].
  std::function<void(double done)> on_progress;
  const CancelToken* cancel = nullptr;  // checked between ops, after each block of rows
};

struct ForwardArgs {
  std::span<const int32_t> ids;  // [n_tokens] at most max_tokens
  KvCache* cache = nullptr;      // rows are appended at kv_len; kv_len grows by n_tokens when done
  bool rotated_keys = true;      // false: keys are cached un-rotated (compress)
  // Layers [0, last_layer] run. With stop_at_states the last layer stops after its projections. This is the early exit:
  // nothing above the topmost chosen head's projections is computed, and that layer's cache gets no rows.
  int64_t last_layer = 0;
  bool stop_at_states = false;
};

class Transformer {
 public:
  // For calls of up to max_tokens rows over max_kv_len slots. All activations are allocated here. The site's ops must
  // have these limits().
  static Result<std::unique_ptr<Transformer>> create(const Model& model, const Site& site, int64_t max_tokens,
                                                     int64_t max_kv_len);
  static OpLimits limits(const ModelShape& shape, const Device& device, int64_t max_tokens, int64_t max_kv_len);

  // kCancelled leaves kv_len as it was.
  Status forward(const ForwardArgs& args, const ForwardHooks& hooks = {});
  // Logits [rows, n_vocab] of the last `rows` rows of the preceding full forward.
  Status logits(int64_t rows, MatView<float> out, const CancelToken* cancel = nullptr);

 private:
  struct Impl;
  explicit Transformer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;

 public:
  ~Transformer();
};

}  // namespace reform
