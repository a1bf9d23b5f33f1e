#include "runtime/recompute/decode.h"

#include <algorithm>

#include "base/stopwatch.h"
#include "base/try.h"
#include "runtime/model/weights/source.h"

namespace reform {
namespace {

WholeModelSizes sizes_of(int64_t n_prompt_tokens, int64_t max_new_tokens, int64_t n_stored_slots) {
  return {.prompt_tokens = n_prompt_tokens,
          .capacity = n_stored_slots + n_prompt_tokens + max_new_tokens,
          .rotated_keys = n_stored_slots == 0};
}

}  // namespace

OpLimits Decoder::limits(const ModelShape& shape, const Device& device, int64_t n_prompt_tokens, int64_t max_new_tokens,
                         int64_t n_stored_slots) {
  return WholeModel::limits(shape, device, sizes_of(n_prompt_tokens, max_new_tokens, n_stored_slots));
}

Result<std::unique_ptr<Decoder>> Decoder::create(const Model& model, const Tokenizer& tokenizer, const Site& site,
                                                 KvView::Type kv_type, int64_t n_prompt_tokens,
                                                 const SamplingOptions& sampling, int64_t n_stored_slots) {
  const WholeModelSizes sizes = sizes_of(n_prompt_tokens, sampling.max_new_tokens, n_stored_slots);
  std::unique_ptr<Decoder> d(new Decoder(model, tokenizer, site, sampling));
  d->may_repeat_ = sizes.rotated_keys;
  TRY_ASSIGN(d->whole_, WholeModel::create(model, site, kv_type, sizes));
  TRY_ASSIGN(NextToken next, NextToken::create(site.device, model.shape().n_vocab, sampling));
  d->next_ = std::make_unique<NextToken>(std::move(next));
  return d;
}

Status Decoder::prefill(std::span<const int32_t> prompt, const CancelToken* cancel) {
  TRY(whole_.run(prompt, cancel));
  return next_->issue(whole_.transformer(), *ops_, cancel);
}

// From a token at slot kv_len to the next one. Issues only ops if all weights are resident. May be issued twice.
Status Decoder::issue_step(int64_t kv_len, int32_t token, const CancelToken* cancel) {
  cache().set_kv_len(kv_len);
  TRY(whole_.run({&token, 1}, cancel));
  return next_->issue(whole_.transformer(), *ops_, cancel);
}

Result<int32_t> Decoder::next_after(int32_t token, const CancelToken* cancel) {
  const int64_t kv_len = cache().kv_len();
  const auto step = [&] { return issue_step(kv_len, token, cancel); };
  TRY(model_.weights().look_up({&token, 1}));
  const bool repeats = may_repeat_ && !model_.weights().streams();
  TRY(repeats ? device_.run_step(next_->step_kind(), *ops_, step) : step());
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
