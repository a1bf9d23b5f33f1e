// The forward pass, written once over the op list. Used by compress (to an early-exit layer, un-rotated keys), by the
// question pass (the same), and by recompute and decode (all layers, rotated keys).
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <functional>
#include <span>

#include "runtime/model/kv_cache.h"
#include "runtime/model/model.h"

namespace reform {

// A layer's states before RoPE, for the chosen heads. After QK-norm where the model has one (so are the keys cached).
struct LayerStates {
  MatView<const float> q;  // [n_tokens, n_heads * head_dim]
  MatView<const float> k;  // [n_tokens, n_kv_heads * head_dim]
  MatView<const float> v;  // [n_tokens, n_kv_heads * head_dim]
};

struct ForwardHooks {
  // After a layer's projections. Only called where set.
  std::function<void(int64_t layer, const LayerStates&)> on_states;
  // After a layer's attention, while q (rotated) and the cache stand: here an eviction policy observes. lse [n_heads,
  // n_tokens] is only filled when this hook is set.
  std::function<void(int64_t layer, const AttentionArgs&, MatView<const float> lse)> on_attention;
  // Between ops, a few times per layer: progress. done in [0, 1] of this call.
  std::function<void(double done)> on_progress;
  const CancelToken* cancel = nullptr;  // checked between ops and inside long ones' row blocks
};

struct ForwardArgs {
  std::span<const int32_t> ids;  // [n_tokens] at most max_tokens
  KvCache* cache = nullptr;      // rows are appended at kv_len; kv_len grows by n_tokens when done
  bool rotated_keys = true;      // false: keys are cached un-rotated (compress)
  // Layers [0, last_layer] run. With stop_at_states the last layer stops after its projections (early exit: nothing
  // above the topmost chosen head's projections is computed, and that layer's cache gets no rows).
  int64_t last_layer = 0;
  bool stop_at_states = false;
};

class Transformer {
 public:
  // max_tokens rows per call, max_kv_len slots. Activations are allocated here, once. The site's ops have its limits().
  static Result<std::unique_ptr<Transformer>> create(const Model& model, const Site& site, int64_t max_tokens,
                                                     int64_t max_kv_len);
  static OpLimits limits(const ModelShape& shape, const Device& device, int64_t max_tokens, int64_t max_kv_len);

  // kCancelled leaves kv_len as it was.
  Status forward(const ForwardArgs& args, const ForwardHooks& hooks = {});
  // Logits [rows, n_vocab] of the hidden states' last `rows` rows of the preceding full forward.
  Status logits(int64_t rows, MatView<float> out, const CancelToken* cancel = nullptr);

 private:
  struct Impl;
  explicit Transformer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;

 public:
  ~Transformer();
};

}  // namespace reform
