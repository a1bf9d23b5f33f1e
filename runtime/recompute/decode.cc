#include "runtime/recompute/decode.h"

#include <algorithm>
#include <chrono>

#include "base/stopwatch.h"
#include "base/try.h"
#include "runtime/model/transformer.h"
#include "runtime/recompute/next_token.h"

namespace reform {
namespace {

// From a token to the next one: ops only, if all weights are resident.
Status issue_step(Transformer& transformer, NextToken& next, Ops& ops, const ForwardArgs& args,
                  const ForwardHooks& hooks) {
  TRY(transformer.forward(args, hooks));
  return next.issue(transformer, ops, hooks.cancel);
}

ForwardArgs whole_model(const ModelShape& shape, KvCache& cache) {
  return {.ids = {}, .cache = &cache, .rotated_keys = true, .last_layer = shape.n_layers - 1, .stop_at_states = false};
}

constexpr int64_t kPrefillTokens =
    1024;  // rows per call, at least: what all of them need memory for is small beside the cache

}  // namespace

RecomputeSizes recompute_sizes(const Device& device, int64_t n_prompt_tokens, int64_t max_new_tokens) {
  return {std::min(n_prompt_tokens, std::max(kPrefillTokens, device.block_tokens())), n_prompt_tokens + max_new_tokens};
}

Status prepare_decode(const Model& model, Device& device, Ops& ops, KvView::Type kv_type) {
  const ModelShape& shape = model.shape();
  TRY_ASSIGN(KvCache cache, KvCache::create(device.account(), kv_type, shape.n_layers, shape.n_kv_heads, shape.head_dim,
                                            kDecodeAhead.capacity));
  TRY_ASSIGN(auto transformer,
             Transformer::create(model, device, ops, kDecodeAhead.call_tokens, kDecodeAhead.capacity));
  ForwardArgs args = whole_model(shape, cache);
  const int32_t any_token = 0;
  args.ids = {&any_token, 1};
  for (const double temperature : {0.0, 1.0}) {
    SamplingOptions sampling;
    sampling.temperature = temperature;
    TRY_ASSIGN(NextToken next, NextToken::create(device, shape.n_vocab, sampling));
    const auto issue = [&]() -> Status {
      cache.set_kv_len(0);
      return issue_step(*transformer, next, ops, args, {});
    };
    TRY(device.prepare_step(next.step_kind(), ops, issue));
  }
  return {};
}

Result<GeneratedText> run_prompt(const Model& model, const Tokenizer& tokenizer, Device& device, Ops& ops,
                                 KvView::Type kv_type, std::span<const int32_t> prompt, const SamplingOptions& sampling,
                                 const TextCallback& on_text, const std::function<void()>& on_first_token,
                                 const CancelToken* cancel) {
  const ModelShape& shape = model.shape();
  const RecomputeSizes sizes = recompute_sizes(device, int64_t(prompt.size()), sampling.max_new_tokens);
  MemoryAccount& account = device.account();
  TRY_ASSIGN(KvCache cache,
             KvCache::create(account, kv_type, shape.n_layers, shape.n_kv_heads, shape.head_dim, sizes.capacity));
  TRY_ASSIGN(auto transformer, Transformer::create(model, device, ops, sizes.call_tokens, sizes.capacity));
  TRY_ASSIGN(NextToken next, NextToken::create(device, shape.n_vocab, sampling));

  GeneratedText out;
  Stopwatch watch;
  ForwardArgs args = whole_model(shape, cache);
  const ForwardHooks hooks{.on_states = {}, .on_attention = {}, .on_progress = {}, .cancel = cancel};
  for (size_t begin = 0; begin < prompt.size(); begin += size_t(sizes.call_tokens)) {
    args.ids = prompt.subspan(begin, std::min(prompt.size() - begin, size_t(sizes.call_tokens)));
    TRY(transformer->forward(args, hooks));
  }
  TRY(next.issue(*transformer, ops, cancel));

  TextStream text;
  bool wanted = true;
  const auto emit = [&](const std::string& piece) {
    out.text += piece;
    if (!piece.empty() && on_text) wanted = on_text(piece);
  };
  int64_t kv_len = cache.kv_len();
  const auto one_more = [&]() -> Status {
    cache.set_kv_len(kv_len);
    return issue_step(*transformer, next, ops, args, hooks);
  };
  // Also where no token is wanted: only then has a device run the prompt.
  TRY_ASSIGN(int32_t token, next.take());
  out.prefill_ms = watch.lap_ms();
  out.n_prompt_tokens = int64_t(prompt.size());
  out.finish_reason = "length";
  while (out.n_tokens < sampling.max_new_tokens) {
    if (out.n_tokens++ == 0 && on_first_token) on_first_token();
    if (!sampling.ignore_end && tokenizer.is_end(token)) {
      out.finish_reason = "stop";
      break;
    }
    emit(text.push(tokenizer.token_bytes(token, /*special=*/false)));
    if (!wanted) out.finish_reason = "cancelled";
    if (!wanted || out.n_tokens == sampling.max_new_tokens) break;
    args.ids = {&token, 1};
    kv_len = cache.kv_len();
    TRY(model.look_up(args.ids));
    TRY(model.streams() ? one_more() : device.run_step(next.step_kind(), ops, one_more));
    TRY_ASSIGN(token, next.take());
  }
  if (wanted) emit(text.finish());
  out.decode_ms = watch.lap_ms();
  return out;
}

}  // namespace reform
