#include "runtime/recompute/whole_model.h"

#include <algorithm>

#include "base/try.h"

namespace reform {
namespace {

// The least number of rows per call for a long prompt.
constexpr int64_t kPrefillTokens = 1024;

int64_t call_tokens(const Device& device, int64_t n_prompt_tokens) {
  return std::min(n_prompt_tokens, std::max(kPrefillTokens, device.block_tokens()));
}

}  // namespace

OpLimits WholeModel::limits(const ModelShape& shape, const Device& device, const WholeModelSizes& sizes) {
  return Transformer::limits(shape, device, call_tokens(device, sizes.prompt_tokens), sizes.capacity);
}

Result<WholeModel> WholeModel::create(const Model& model, const Site& site, KvView::Type kv_type,
                                      const WholeModelSizes& sizes) {
  const ModelShape& shape = model.shape();
  WholeModel m;
  m.last_layer_ = shape.n_layers - 1;
  m.rotated_keys_ = sizes.rotated_keys;
  m.call_tokens_ = call_tokens(site.device, sizes.prompt_tokens);
  TRY_ASSIGN(m.cache_, KvCache::create(site.device.account(), kv_type, shape.n_layers, shape.n_kv_heads, shape.head_dim,
                                       sizes.capacity));
  TRY_ASSIGN(m.transformer_, Transformer::create(model, site, m.call_tokens_, sizes.capacity));
  return m;
}

Status WholeModel::run(std::span<const int32_t> ids, const CancelToken* cancel) {
  ForwardArgs args{.ids = {},
                   .cache = &cache_,
                   .rotated_keys = rotated_keys_,
                   .last_layer = last_layer_,
                   .stop_at_states = false,
                   .slot_bias = slot_bias_};
  for (size_t begin = 0; begin < ids.size(); begin += size_t(call_tokens_)) {
    args.ids = ids.subspan(begin, std::min(ids.size() - begin, size_t(call_tokens_)));
    TRY(transformer_->forward(args, {.on_states = {}, .on_attention = {}, .on_progress = {}, .cancel = cancel}));
  }
  return {};
}

}  // namespace reform
