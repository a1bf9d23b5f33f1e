#include "runtime/model/transformer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/memory.h"
#include "base/try.h"
#include "runtime/model/weights/source.h"

namespace reform {
namespace {

// Each head of each row as a row of its own, for per-head norms.
MatView<float> heads_as_rows(MatView<float> x, int64_t head_dim) {
  return {x.data, x.rows * (x.cols / head_dim), head_dim};
}

// Activations are laid out one after another, each on a cache line of its own.
int64_t padded(int64_t n_elems) { return (n_elems + 15) / 16 * 16; }

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
  int64_t place(const ModelShape& s, int64_t n_tokens, int64_t block_tokens, float* base) {
    const int64_t block = std::min(n_tokens, block_tokens);
    int64_t used = 0;
    auto take = [&](MatView<float>& view, int64_t rows, int64_t cols) {
      view = {base == nullptr ? nullptr : base + used, rows, cols};
      used += padded(rows * cols);
    };
    take(hidden, n_tokens, s.d_model);
    take(q, n_tokens, s.n_heads * s.head_dim);
    take(k, n_tokens, s.n_kv_heads * s.head_dim);
    take(v, n_tokens, s.n_kv_heads * s.head_dim);
    take(lse, s.n_heads, n_tokens);
    take(normed, block, s.d_model);
    take(attended, block, s.n_heads * s.head_dim);
    take(gate, block, s.d_ff);
    take(up, block, s.d_ff);
    return used;
  }
};

}  // namespace

struct Transformer::Impl {
  const Model& model;
  const ModelShape& shape;
  Ops* const ops;
  const int64_t max_tokens, max_kv_len, block_tokens;
  Buffer<float> storage;
  Rope rope, local_rope;   // of layers that see all tokens, and of those with a window
  Activations act{};       // of the current call, n_tokens rows
  int64_t n_tokens = 0;    // rows of the current call
  int64_t logit_rows = 0;  // rows of the last full forward, for logits()
  int64_t n_steps = 0, n_steps_done = 0;

  Impl(const Model& m, Ops* o, int64_t tokens, int64_t slots, int64_t block)
      : model(m), shape(m.shape()), ops(o), max_tokens(tokens), max_kv_len(slots), block_tokens(block) {
    rope = {shape.rope_pairing, shape.inv_freq, shape.rope_magnitude};
    local_rope = rope;
    if (!shape.local_inv_freq.empty()) local_rope = {shape.rope_pairing, shape.local_inv_freq, 1.0f};
  }

  bool is_local(int64_t layer) const { return shape.is_local[size_t(layer)]; }
  const Rope& rope_of(int64_t layer) const { return is_local(layer) ? local_rope : rope; }

  // Calls fn(begin, end) for each block of rows; stops at the first failed Status.
  template <class Fn>
  Status for_blocks(int64_t n_rows, Fn fn) {
    for (int64_t begin = 0; begin < n_rows; begin += block_tokens) {
      TRY(fn(begin, std::min(begin + block_tokens, n_rows)));
    }
    return ok_status();
  }

  // Called after each block of each part of a layer.
  Status step(const ForwardHooks& hooks) {
    ++n_steps_done;
    if (hooks.on_progress) hooks.on_progress(double(n_steps_done) / double(n_steps));
    if (hooks.cancel != nullptr && hooks.cancel->cancelled()) return {Code::kCancelled, "cancelled"};
    return ok_status();
  }

  // q, k, v = the projections of the normed residual stream, QK-normed, before RoPE.
  Status project(const LayerWeights& w, const ForwardHooks& hooks) {
    return for_blocks(n_tokens, [&](int64_t begin, int64_t end) {
      const MatView<float> normed = act.normed.row_range(0, end - begin);
      const MatView<float> q = act.q.row_range(begin, end), k = act.k.row_range(begin, end);
      ops->rms_norm(act.hidden.row_range(begin, end), w.attn_norm, shape.norm_eps, normed);
      ops->matmul(w.q, normed, w.q_bias, false, q);
      ops->matmul(w.k, normed, w.k_bias, false, k);
      ops->matmul(w.v, normed, w.v_bias, false, act.v.row_range(begin, end));
      if (!w.q_norm.empty()) {
        ops->rms_norm(heads_as_rows(q, shape.head_dim), w.q_norm, shape.norm_eps, heads_as_rows(q, shape.head_dim));
        ops->rms_norm(heads_as_rows(k, shape.head_dim), w.k_norm, shape.norm_eps, heads_as_rows(k, shape.head_dim));
      }
      return step(hooks);
    });
  }

  // Rotates, appends to the cache, attends, and adds the output projection to the residual stream.
  Status attend(int64_t layer, const LayerWeights& w, const ForwardArgs& args, const ForwardHooks& hooks) {
    const int64_t first_slot = args.cache->kv_len(), kv_len = first_slot + n_tokens;
    const Rope& layer_rope = rope_of(layer);
    ops->rope(layer_rope, first_slot, shape.head_dim, act.q);
    if (args.rotated_keys) ops->rope(layer_rope, first_slot, shape.head_dim, act.k);
    AttentionArgs whole = {.q = act.q,
                           .kv = args.cache->layer(layer, kv_len),
                           .key_rope = args.rotated_keys ? nullptr : &layer_rope,
                           .scale = shape.attention_scale,
                           .window = is_local(layer) ? shape.window : 0};
    ops->store_kv(act.k, act.v, first_slot, whole.kv);
    TRY(for_blocks(n_tokens, [&](int64_t begin, int64_t end) {
      attend_block(w, whole, begin, end, bool(hooks.on_attention));
      return step(hooks);
    }));
    whole.known_slots = kv_len;
    if (hooks.on_attention) hooks.on_attention(layer, whole, act.lse);
    return ok_status();
  }

  void attend_block(const LayerWeights& w, const AttentionArgs& whole, int64_t begin, int64_t end, bool want_lse) {
    AttentionArgs block = whole;  // a block sees the slots up to that of its own last row
    block.q = whole.q.row_range(begin, end);
    block.kv.kv_len = whole.kv.kv_len - n_tokens + end;
    block.known_slots = begin == 0 ? 0 : block.kv.kv_len - (end - begin);
    const int64_t rows = end - begin;
    const MatView<float> attended = act.attended.row_range(0, rows);
    ops->attention(block, attended, want_lse ? act.lse.col_range(begin, end) : MatView<float>());
    add_output(w.o, w.o_bias, attended, w.attn_post_norm, act.hidden.row_range(begin, end));
  }

  Status feed_forward(const LayerWeights& w, const ForwardHooks& hooks) {
    return for_blocks(n_tokens, [&](int64_t begin, int64_t end) {
      const MatView<float> hidden = act.hidden.row_range(begin, end), normed = act.normed.row_range(0, end - begin);
      const MatView<float> gate = act.gate.row_range(0, end - begin), up = act.up.row_range(0, end - begin);
      ops->rms_norm(hidden, w.ffn_norm, shape.norm_eps, normed);
      ops->matmul(w.gate, normed, {}, false, gate);
      ops->matmul(w.up, normed, {}, false, up);
      ops->gated_activation(shape.activation, gate, up);
      add_output(w.down, {}, gate, w.ffn_post_norm, hidden);
      return step(hooks);
    });
  }

  // hidden += post_norm(x W^T + bias); without post_norm if it is empty.
  void add_output(const Weight& w, std::span<const float> bias, MatView<const float> x,
                  std::span<const float> post_norm, MatView<float> hidden) {
    if (post_norm.empty()) return ops->matmul(w, x, bias, true, hidden);
    const MatView<float> out = act.normed.row_range(0, x.rows);
    ops->matmul(w, x, bias, false, out);
    ops->rms_norm(out, post_norm, shape.norm_eps, out);
    ops->add(hidden, out);
  }

  Status check(const ForwardArgs& args) const {
    const int64_t rows = int64_t(args.ids.size());
    CHECK(rows >= 1 && rows <= max_tokens && args.cache != nullptr);
    CHECK(args.last_layer >= 0 && args.last_layer < shape.n_layers);
    CHECK(args.cache->n_layers() >= args.last_layer + (args.stop_at_states ? 0 : 1));
    CHECK(args.cache->kv_len() + rows <= std::min(max_kv_len, args.cache->capacity()));
    for (const int32_t id : args.ids) {  // ids may come from stored contexts
      if (id >= 0 && id < shape.n_vocab) continue;
      return {Code::kCorrupt, fmt::format("token id {} is outside the model's vocabulary of {}", id, shape.n_vocab)};
    }
    return ok_status();
  }

  Status forward(const ForwardArgs& args, const ForwardHooks& hooks) {
    TRY(check(args));
    n_tokens = int64_t(args.ids.size());
    act.place(shape, n_tokens, block_tokens, storage.data());
    const int64_t n_blocks = (n_tokens + block_tokens - 1) / block_tokens;
    n_steps = (3 * (args.last_layer + 1) - (args.stop_at_states ? 2 : 0)) * n_blocks;
    n_steps_done = logit_rows = 0;
    TRY(model.weights().embed(*ops, args.ids, act.hidden));
    for (int64_t layer = 0; layer <= args.last_layer; ++layer) {
      TRY_ASSIGN(const LayerWeights* const w, model.weights().layer(layer, hooks.cancel));
      TRY(project(*w, hooks));
      if (hooks.on_states) hooks.on_states(layer, {act.q, act.k, act.v});
      if (args.stop_at_states && layer == args.last_layer) break;
      TRY(attend(layer, *w, args, hooks));
      TRY(feed_forward(*w, hooks));
    }
    args.cache->set_kv_len(args.cache->kv_len() + n_tokens);
    if (args.last_layer == shape.n_layers - 1 && !args.stop_at_states) logit_rows = n_tokens;
    return ok_status();
  }
};

Transformer::Transformer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Transformer::~Transformer() = default;

OpLimits Transformer::limits(const ModelShape& shape, const Device& device, int64_t max_tokens, int64_t max_kv_len) {
  return {.max_tokens = max_tokens,
          .max_cols = std::max({shape.d_model, shape.d_ff, shape.n_heads * shape.head_dim}),
          .max_kv_len = max_kv_len,
          .n_heads = shape.n_heads,
          .n_kv_heads = shape.n_kv_heads,
          .head_dim = shape.head_dim,
          .max_block_tokens = std::min(max_tokens, device.block_tokens())};
}

Result<std::unique_ptr<Transformer>> Transformer::create(const Model& model, const Site& site, int64_t max_tokens,
                                                         int64_t max_kv_len) {
  CHECK(max_tokens >= 1 && max_kv_len >= max_tokens);
  const int64_t block = site.device.block_tokens();
  auto impl = std::make_unique<Impl>(model, site.ops, max_tokens, max_kv_len, block);
  const int64_t n_floats = Activations{}.place(model.shape(), max_tokens, block, nullptr);
  TRY_ASSIGN(impl->storage, Buffer<float>::create(site.device.account(), MemoryCategory::kActivations, n_floats));
  return std::unique_ptr<Transformer>(new Transformer(std::move(impl)));
}

Status Transformer::forward(const ForwardArgs& args, const ForwardHooks& hooks) { return impl_->forward(args, hooks); }

Status Transformer::logits(int64_t rows, MatView<float> out, const CancelToken* cancel) {
  Impl& t = *impl_;
  CHECK(rows >= 1 && rows <= t.logit_rows && out.rows == rows && out.cols == t.shape.n_vocab);
  const MatView<float> hidden = t.act.hidden.row_range(t.n_tokens - rows, t.n_tokens);
  return t.for_blocks(rows, [&](int64_t begin, int64_t end) {
    const MatView<float> normed = t.act.normed.row_range(0, end - begin);
    t.ops->rms_norm(hidden.row_range(begin, end), t.model.weights().output_norm(), t.shape.norm_eps, normed);
    return t.model.weights().multiply_output(*t.ops, normed, out.row_range(begin, end), cancel);
  });
}

}  // namespace reform
