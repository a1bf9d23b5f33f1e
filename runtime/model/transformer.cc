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
int64_t padded_elems(int64_t n_elems) { return (n_elems + 15) / 16 * 16; }

}  // namespace

int64_t Transformer::Activations::place(const ModelShape& s, int64_t n_tokens, int64_t block_tokens, float* base) {
  const int64_t block = std::min(n_tokens, block_tokens);
  int64_t used = 0;
  auto take = [&](MatView<float>& view, int64_t rows, int64_t cols) {
    view = {base == nullptr ? nullptr : base + used, rows, cols};
    used += padded_elems(rows * cols);
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
  std::unique_ptr<Transformer> t(new Transformer(model, site, max_tokens, max_kv_len, block));
  const int64_t n_floats = Activations{}.place(model.shape(), max_tokens, block, nullptr);
  TRY_ASSIGN(t->storage_, Buffer<float>::create(site.device.account(), MemoryCategory::kActivations, n_floats));
  return t;
}

Transformer::Transformer(const Model& model, const Site& site, int64_t max_tokens, int64_t max_kv_len,
                         int64_t block_tokens)
    : model_(model),
      shape_(model.shape()),
      ops_(site.ops),
      pause_(site.pause),
      max_tokens_(max_tokens),
      max_kv_len_(max_kv_len),
      block_tokens_(block_tokens),
      rope_{shape_.rope_pairing, shape_.inv_freq, shape_.rope_magnitude},
      local_rope_(rope_) {
  if (!shape_.local_inv_freq.empty()) local_rope_ = {shape_.rope_pairing, shape_.local_inv_freq, 1.0f};
}

// Calls fn(begin, end) for each block of rows; stops at the first failed Status.
template <class Fn>
Status Transformer::for_blocks(int64_t n_rows, Fn fn) {
  for (int64_t begin = 0; begin < n_rows; begin += block_tokens_) {
    TRY(fn(begin, std::min(begin + block_tokens_, n_rows)));
  }
  return ok_status();
}

// Called after each block of each part of a layer.
Status Transformer::step(const ForwardHooks& hooks) {
  ++n_steps_done_;
  if (hooks.on_progress) hooks.on_progress(double(n_steps_done_) / double(n_steps_));
  if (pause_ != nullptr) (*pause_)();
  if (hooks.cancel != nullptr && hooks.cancel->cancelled()) return {Code::kCancelled, "cancelled"};
  return ok_status();
}

// q, k, v = the projections of the normed residual stream, QK-normed, before RoPE.
Status Transformer::project(const LayerWeights& w, const ForwardHooks& hooks) {
  return for_blocks(n_tokens_, [&](int64_t begin, int64_t end) {
    const MatView<float> normed = act_.normed.row_range(0, end - begin);
    const MatView<float> q = act_.q.row_range(begin, end), k = act_.k.row_range(begin, end);
    ops_->rms_norm(act_.hidden.row_range(begin, end), w.attn_norm, shape_.norm_eps, normed);
    ops_->matmul(w.q, normed, w.q_bias, false, q);
    ops_->matmul(w.k, normed, w.k_bias, false, k);
    ops_->matmul(w.v, normed, w.v_bias, false, act_.v.row_range(begin, end));
    if (!w.q_norm.empty()) {
      ops_->rms_norm(heads_as_rows(q, shape_.head_dim), w.q_norm, shape_.norm_eps, heads_as_rows(q, shape_.head_dim));
      ops_->rms_norm(heads_as_rows(k, shape_.head_dim), w.k_norm, shape_.norm_eps, heads_as_rows(k, shape_.head_dim));
    }
    return step(hooks);
  });
}

// Rotates, appends to the cache, attends, and adds the output projection to the residual stream.
Status Transformer::attend(int64_t layer, const LayerWeights& w, const ForwardArgs& args, const ForwardHooks& hooks) {
  const int64_t first_slot = args.cache->kv_len(), kv_len = first_slot + n_tokens_;
  const Rope& layer_rope = rope_of(layer);
  ops_->rope(layer_rope, first_slot, shape_.head_dim, act_.q);
  if (args.rotated_keys) ops_->rope(layer_rope, first_slot, shape_.head_dim, act_.k);
  AttentionArgs whole = {.q = act_.q,
                         .kv = args.cache->layer(layer, kv_len),
                         .key_rope = args.rotated_keys ? nullptr : &layer_rope,
                         .scale = shape_.attention_scale,
                         .window = is_local(layer) ? shape_.window : 0,
                         .slot_bias = args.slot_bias ? args.slot_bias(layer) : MatView<const float>()};
  ops_->store_kv(act_.k, act_.v, first_slot, whole.kv);
  TRY(for_blocks(n_tokens_, [&](int64_t begin, int64_t end) {
    attend_block(w, whole, begin, end, bool(hooks.on_attention));
    return step(hooks);
  }));
  whole.known_slots = kv_len;
  if (hooks.on_attention) hooks.on_attention(layer, whole, act_.lse);
  return ok_status();
}

void Transformer::attend_block(const LayerWeights& w, const AttentionArgs& whole, int64_t begin, int64_t end,
                               bool want_lse) {
  AttentionArgs block = whole;  // a block sees the slots up to that of its own last row
  block.q = whole.q.row_range(begin, end);
  block.kv.kv_len = whole.kv.kv_len - n_tokens_ + end;
  block.known_slots = begin == 0 ? 0 : block.kv.kv_len - (end - begin);
  const int64_t rows = end - begin;
  const MatView<float> attended = act_.attended.row_range(0, rows);
  ops_->attention(block, attended, want_lse ? act_.lse.col_range(begin, end) : MatView<float>());
  add_output(w.o, w.o_bias, attended, w.attn_post_norm, act_.hidden.row_range(begin, end));
}

Status Transformer::feed_forward(const LayerWeights& w, const ForwardHooks& hooks) {
  return for_blocks(n_tokens_, [&](int64_t begin, int64_t end) {
    const MatView<float> hidden = act_.hidden.row_range(begin, end), normed = act_.normed.row_range(0, end - begin);
    const MatView<float> gate = act_.gate.row_range(0, end - begin), up = act_.up.row_range(0, end - begin);
    ops_->rms_norm(hidden, w.ffn_norm, shape_.norm_eps, normed);
    ops_->matmul(w.gate, normed, {}, false, gate);
    ops_->matmul(w.up, normed, {}, false, up);
    ops_->gated_activation(shape_.activation, gate, up);
    add_output(w.down, {}, gate, w.ffn_post_norm, hidden);
    return step(hooks);
  });
}

// hidden += post_norm(x W^T + bias); without post_norm if it is empty.
void Transformer::add_output(const Weight& w, std::span<const float> bias, MatView<const float> x,
                             std::span<const float> post_norm, MatView<float> hidden) {
  if (post_norm.empty()) return ops_->matmul(w, x, bias, true, hidden);
  const MatView<float> out = act_.normed.row_range(0, x.rows);
  ops_->matmul(w, x, bias, false, out);
  ops_->rms_norm(out, post_norm, shape_.norm_eps, out);
  ops_->add(hidden, out);
}

Status Transformer::check(const ForwardArgs& args) const {
  const int64_t rows = int64_t(args.ids.size());
  CHECK(rows >= 1 && rows <= max_tokens_ && args.cache != nullptr);
  CHECK(args.last_layer >= 0 && args.last_layer < shape_.n_layers);
  CHECK(args.cache->n_layers() >= args.last_layer + (args.stop_at_states ? 0 : 1));
  CHECK(args.cache->kv_len() + rows <= std::min(max_kv_len_, args.cache->capacity()));
  for (const int32_t id : args.ids) {  // ids may come from stored contexts
    if (id >= 0 && id < shape_.n_vocab) continue;
    return {Code::kCorrupt, fmt::format("token id {} is outside the model's vocabulary of {}", id, shape_.n_vocab)};
  }
  return ok_status();
}

Status Transformer::forward(const ForwardArgs& args, const ForwardHooks& hooks) {
  TRY(check(args));
  n_tokens_ = int64_t(args.ids.size());
  act_.place(shape_, n_tokens_, block_tokens_, storage_.data());
  const int64_t n_blocks = (n_tokens_ + block_tokens_ - 1) / block_tokens_;
  n_steps_ = (3 * (args.last_layer + 1) - (args.stop_at_states ? 2 : 0)) * n_blocks;
  n_steps_done_ = logit_rows_ = 0;
  TRY(model_.weights().embed(*ops_, args.ids, act_.hidden));
  for (int64_t layer = 0; layer <= args.last_layer; ++layer) {
    TRY_ASSIGN(const LayerWeights* const w, model_.weights().layer(layer, hooks.cancel));
    TRY(project(*w, hooks));
    if (hooks.on_states) hooks.on_states(layer, {act_.q, act_.k, act_.v});
    if (args.stop_at_states && layer == args.last_layer) break;
    TRY(attend(layer, *w, args, hooks));
    TRY(feed_forward(*w, hooks));
  }
  args.cache->set_kv_len(args.cache->kv_len() + n_tokens_);
  if (args.last_layer == shape_.n_layers - 1 && !args.stop_at_states) logit_rows_ = n_tokens_;
  return ok_status();
}

std::span<const float> Transformer::last_row() const {
  CHECK(logit_rows_ >= 1);
  return {act_.hidden.row(n_tokens_ - 1), size_t(shape_.d_model)};
}

std::span<float> Transformer::set_last_row() {
  n_tokens_ = logit_rows_ = 1;
  act_.place(shape_, n_tokens_, block_tokens_, storage_.data());
  return {act_.hidden.row(0), size_t(shape_.d_model)};
}

Status Transformer::logits(int64_t rows, MatView<float> out, const CancelToken* cancel) {
  CHECK(rows >= 1 && rows <= logit_rows_ && out.rows == rows && out.cols == shape_.n_vocab);
  const MatView<float> hidden = act_.hidden.row_range(n_tokens_ - rows, n_tokens_);
  return for_blocks(rows, [&](int64_t begin, int64_t end) {
    const MatView<float> normed = act_.normed.row_range(0, end - begin);
    ops_->rms_norm(hidden.row_range(begin, end), model_.weights().output_norm(), shape_.norm_eps, normed);
    return model_.weights().multiply_output(*ops_, normed, out.row_range(begin, end), cancel);
  });
}

}  // namespace reform
