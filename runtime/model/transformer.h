// The forward pass, written once over the op list. Compress and its question pass run it up to an early-exit layer with
// un-rotated keys, the head search up to a layer with rotated keys, and decode through all layers with rotated keys.
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/memory.h"
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

// AttentionArgs::slot_bias of each layer.
using SlotBias = std::function<MatView<const float>(int64_t layer)>;

struct ForwardArgs {
  std::span<const int32_t> ids;  // [n_tokens] at most max_tokens
  KvCache* cache = nullptr;      // rows are appended at kv_len; kv_len grows by n_tokens when done
  bool rotated_keys = true;      // false: keys are cached un-rotated (compress)
  // Layers [0, last_layer] run. With stop_at_states the last layer stops after its projections. This is the early exit:
  // nothing above the topmost chosen head's projections is computed, and that layer's cache gets no rows.
  int64_t last_layer = 0;
  bool stop_at_states = false;
  SlotBias slot_bias = nullptr;  // none if not set
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
  // The last row's hidden state after a full forward [d_model], in the device's memory. Once it is written to
  // set_last_row(), also of another Transformer, logits(1) are those of that row.
  std::span<const float> last_row() const;
  std::span<float> set_last_row();

 private:
  // What a forward carries from op to op. Views of [n_tokens, ...] hold the whole call. Views of [block, ...] hold one
  // block of its rows, so that the wide ones (gate, up) take less memory.
  struct Activations {
    MatView<float> hidden;    // [n_tokens, d_model] the residual stream
    MatView<float> q;         // [n_tokens, n_heads * head_dim]
    MatView<float> k, v;      // [n_tokens, n_kv_heads * head_dim]
    MatView<float> lse;       // [n_heads, n_tokens] for hooks.on_attention
    MatView<float> normed;    // [block, d_model] a norm's output; then a projection's, before its post-norm
    MatView<float> attended;  // [block, n_heads * head_dim]
    MatView<float> gate, up;  // [block, d_ff]

    // Places every view after `base` (nullptr: only counts) and returns the number of floats.
    int64_t place(const ModelShape& s, int64_t n_tokens, int64_t block_tokens, float* base);
  };
  Transformer(const Model& model, const Site& site, int64_t max_tokens, int64_t max_kv_len, int64_t block_tokens);
  bool is_local(int64_t layer) const { return shape_.is_local[size_t(layer)]; }
  const Rope& rope_of(int64_t layer) const { return is_local(layer) ? local_rope_ : rope_; }
  template <class Fn>
  Status for_blocks(int64_t n_rows, Fn fn);
  Status check(const ForwardArgs& args) const;
  Status step(const ForwardHooks& hooks);
  Status project(const LayerWeights& w, const ForwardHooks& hooks);
  Status attend(int64_t layer, const LayerWeights& w, const ForwardArgs& args, const ForwardHooks& hooks);
  void attend_block(const LayerWeights& w, const AttentionArgs& whole, int64_t begin, int64_t end, bool want_lse);
  Status feed_forward(const LayerWeights& w, const ForwardHooks& hooks);
  void add_output(const Weight& w, std::span<const float> bias, MatView<const float> x,
                  std::span<const float> post_norm, MatView<float> hidden);

  const Model& model_;
  const ModelShape& shape_;
  Ops* const ops_;
  const std::function<void()>* const pause_;
  const int64_t max_tokens_, max_kv_len_, block_tokens_;
  Buffer<float> storage_;
  Rope rope_, local_rope_;  // of layers that see all tokens, and of those with a window
  Activations act_;         // of the current call, n_tokens_ rows
  int64_t n_tokens_ = 0;    // rows of the current call
  int64_t logit_rows_ = 0;  // rows of the last full forward, for logits()
  int64_t n_steps_ = 0, n_steps_done_ = 0;
};

}  // namespace reform
