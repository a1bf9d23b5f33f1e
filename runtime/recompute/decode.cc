#include "runtime/recompute/decode.h"

#include <algorithm>

#include "base/stopwatch.h"
#include "base/try.h"
#include "runtime/model/weights/source.h"

namespace reform {
namespace {

// The least number of rows per call for a long prompt. Their activations are small beside the cache.
constexpr int64_t kPrefillTokens = 1024;

int64_t call_tokens(const Device& device, int64_t n_prompt_tokens) {
  return std::min(n_prompt_tokens, std::max(kPrefillTokens, device.block_tokens()));
}

}  // namespace

OpLimits Decoder::limits(const ModelShape& shape, const Device& device, int64_t n_prompt_tokens,
                         int64_t max_new_tokens) {
  return Transformer::limits(shape, device, call_tokens(device, n_prompt_tokens), n_prompt_tokens + max_new_tokens);
}

Result<std::unique_ptr<Decoder>> Decoder::create(const Model& model, const Tokenizer& tokenizer, const Site& site,
                                                 KvView::Type kv_type, int64_t n_prompt_tokens,
                                                 const SamplingOptions& sampling) {
  const ModelShape& shape = model.shape();
  const int64_t capacity = n_prompt_tokens + sampling.max_new_tokens;
  std::unique_ptr<Decoder> d(new Decoder(model, tokenizer, site, sampling));
  d->call_tokens_ = call_tokens(site.device, n_prompt_tokens);
  TRY_ASSIGN(d->cache_, KvCache::create(site.device.account(), kv_type, shape.n_layers, shape.n_kv_heads,
                                        shape.head_dim, capacity));
  TRY_ASSIGN(d->transformer_, Transformer::create(model, site, d->call_tokens_, capacity));
  TRY_ASSIGN(NextToken next, NextToken::create(site.device, shape.n_vocab, sampling));
  d->next_ = std::make_unique<NextToken>(std::move(next));
  return d;
}

ForwardArgs Decoder::whole_model() {
  return {.ids = {},
          .cache = &cache_,
          .rotated_keys = true,
          .last_layer = model_.shape().n_layers - 1,
          .stop_at_states = false};
}

Status Decoder::prefill(std::span<const int32_t> prompt, const CancelToken* cancel) {
  ForwardArgs args = whole_model();
  for (size_t begin = 0; begin < prompt.size(); begin += size_t(call_tokens_)) {
    args.ids = prompt.subspan(begin, std::min(prompt.size() - begin, size_t(call_tokens_)));
    TRY(transformer_->forward(args, {.on_states = {}, .on_attention = {}, .on_progress = {}, .cancel = cancel}));
  }
  return next_->issue(*transformer_, *ops_, cancel);
}

// From a token at slot kv_len to the next one. Issues only ops if all weights are resident. May be issued twice.
Status Decoder::issue_step(int64_t kv_len, int32_t token, const CancelToken* cancel) {
  cache_.set_kv_len(kv_len);
  ForwardArgs args = whole_model();
  args.ids = {&token, 1};
  TRY(transformer_->forward(args, {.on_states = {}, .on_attention = {}, .on_progress = {}, .cancel = cancel}));
  return next_->issue(*transformer_, *ops_, cancel);
}

Result<int32_t> Decoder::next_after(int32_t token, const CancelToken* cancel) {
  const int64_t kv_len = cache_.kv_len();
  const auto step = [&] { return issue_step(kv_len, token, cancel); };
  TRY(model_.weights().look_up({&token, 1}));
  TRY(model_.weights().streams() ? step() : device_.run_step(next_->step_kind(), *ops_, step));
  return next_->take();
}

Status Decoder::prepare_steps() {
  constexpr int32_t kAnyToken = 0;
  SamplingOptions sampling = sampling_;
  for (const double temperature : {0.0, 1.0}) {
    sampling.temperature = temperature;
    next_.reset();
    TRY_ASSIGN(NextToken next, NextToken::create(device_, model_.shape().n_vocab, sampling));
    next_ = std::make_unique<NextToken>(std::move(next));
    TRY(device_.prepare_step(next_->step_kind(), *ops_, [&] { return issue_step(0, kAnyToken, nullptr); }));
  }
  return {};
}

Result<GenerateResult> Decoder::run(std::span<const int32_t> prompt, const TextCallback& on_text,
                                    const std::function<void()>& on_first_token, const CancelToken* cancel) {
  GenerateResult out;
  Stopwatch watch;
  TRY(prefill(prompt, cancel));
  // Taken even if no token is wanted: only after this has the device run the prompt.
  TRY_ASSIGN(int32_t token, next_->take());
  out.timings.prompt_ms = watch.lap_ms();
  out.timings.prompt_n = int64_t(prompt.size());

  TextStream text;
  bool wanted = true;
  const auto emit = [&](const std::string& piece) {
    out.text += piece;
    if (!piece.empty() && on_text) wanted = on_text(piece);
  };
  out.finish_reason = "length";
  int64_t& n_tokens = out.timings.predicted_n;
  while (n_tokens < sampling_.max_new_tokens) {
    if (n_tokens++ == 0 && on_first_token) on_first_token();
    if (!sampling_.ignore_end && tokenizer_.is_end(token)) {
      out.finish_reason = "stop";
      break;
    }
    emit(text.push(tokenizer_.token_bytes(token, /*special=*/false)));
    if (!wanted) out.finish_reason = "cancelled";
    if (!wanted || n_tokens == sampling_.max_new_tokens) break;
    TRY_ASSIGN(token, next_after(token, cancel));
  }
  if (wanted) emit(text.finish());
  out.timings.predicted_ms = watch.lap_ms();
  return out;
}

}  // namespace reform
