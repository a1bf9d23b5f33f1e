#include "runtime/recompute/decode.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/stopwatch.h"
#include "base/try.h"
#include "runtime/constrain/json_schema.h"
#include "runtime/model/weights/source.h"

namespace reform {
namespace {

WholeModelSizes sizes_of(int64_t n_prompt_tokens, int64_t max_reply_tokens, int64_t n_stored_slots) {
  return {.prompt_tokens = n_prompt_tokens,
          .capacity = n_stored_slots + n_prompt_tokens + max_reply_tokens,
          .rotated_keys = n_stored_slots == 0};
}

}  // namespace

OpLimits Decoder::limits(const ModelShape& shape, const Device& device, int64_t n_prompt_tokens,
                         int64_t max_reply_tokens, int64_t n_stored_slots) {
  return WholeModel::limits(shape, device, sizes_of(n_prompt_tokens, max_reply_tokens, n_stored_slots));
}

Result<std::unique_ptr<Decoder>> Decoder::create(const Model& model, const Tokenizer& tokenizer, const Site& site,
                                                 KvView::Type kv_type, int64_t n_prompt_tokens, const ReplyPlan& reply,
                                                 int64_t n_stored_slots) {
  const WholeModelSizes sizes = sizes_of(n_prompt_tokens, reply.max_tokens(), n_stored_slots);
  std::unique_ptr<Decoder> d(new Decoder(model, tokenizer, site, reply));
  d->may_repeat_ = sizes.rotated_keys;
  TRY_ASSIGN(d->whole_, WholeModel::create(model, site, kv_type, sizes));
  TRY_ASSIGN(NextToken next, NextToken::create(site.device, model.shape().n_vocab, reply.sampling));
  d->next_ = std::make_unique<NextToken>(std::move(next));
  return d;
}

Result<bool> Decoder::prefill(std::span<const int32_t> prompt, const CancelToken* cancel) {
  Transformer& transformer = whole_.transformer();
  const bool is_kept = prompts_ != nullptr && prompts_->recall(prompt, cache(), transformer.set_last_row());
  if (!is_kept) TRY(whole_.run(prompt, cancel));
  if (!is_kept && prompts_ != nullptr) prompts_->keep(prompt, cache(), transformer.last_row());
  TRY(next_->issue(transformer, *ops_, cancel));
  return is_kept;
}

// From a token at slot kv_len to the next one. Issues only ops if all weights are resident. May be issued twice.
Status Decoder::issue_step(int64_t kv_len, int32_t token, const CancelToken* cancel) {
  cache().set_kv_len(kv_len);
  TRY(whole_.run({&token, 1}, cancel));
  return next_->issue(whole_.transformer(), *ops_, cancel);
}

Status Decoder::advance(int32_t token, const CancelToken* cancel) {
  const int64_t kv_len = cache().kv_len();
  const auto step = [&] { return issue_step(kv_len, token, cancel); };
  TRY(model_.weights().look_up({&token, 1}));
  const bool repeats = may_repeat_ && !model_.weights().streams();
  return repeats ? device_.run_step(next_->step_kind(), *ops_, step) : step();
}

Status Decoder::prepare_steps() {
  constexpr int32_t kAnyToken = 0;
  SamplingOptions sampling = reply_.sampling;
  for (const double temperature : {0.0, 1.0}) {
    sampling.temperature = temperature;
    next_.reset();
    TRY_ASSIGN(NextToken next, NextToken::create(device_, model_.shape().n_vocab, sampling));
    next_ = std::make_unique<NextToken>(std::move(next));
    TRY(device_.prepare_step(next_->step_kind(), *ops_, [&] { return issue_step(0, kAnyToken, nullptr); }));
  }
  return {};
}

Result<int32_t> Decoder::take(const Reply& reply, const Matcher* matcher) {
  if (matcher == nullptr || !reply.is_answering()) return next_->take();
  return next_->take_allowed(*matcher, tokenizer_, *ops_);
}

Status Decoder::decode(Reply& reply, Matcher* matcher, const std::function<void()>& on_first_token,
                       const CancelToken* cancel) {
  if (reply.goes_on() && on_first_token) on_first_token();
  while (reply.goes_on()) {
    TRY_ASSIGN(const int32_t token, take(reply, matcher));
    AnswerToken logprobs;
    if (const int64_t n_top = reply_.sampling.top_logprobs; n_top >= 0) {
      TRY_ASSIGN(logprobs, next_->logprobs(token, n_top, tokenizer_));
    }
    const bool is_matched = matcher != nullptr && reply.is_answering() && !tokenizer_.is_end(token);
    const int32_t taken = reply.take(token, std::move(logprobs));
    if (is_matched) matcher->push(tokenizer_.token_bytes(token, /*special=*/false));
    if (is_matched && matcher->must_end()) reply.end();
    if (reply.goes_on()) TRY(advance(taken, cancel));
  }
  return {};
}

Result<GenerateResult> Decoder::run(std::span<const int32_t> prompt, const ReplyCallbacks& callbacks,
                                    const std::function<void()>& on_first_token, const CancelToken* cancel) {
  Stopwatch watch;
  std::optional<Matcher> matcher;
  if (!reply_.sampling.json_schema.empty()) {
    TRY_ASSIGN(auto grammar, grammar_of_schema(reply_.sampling.json_schema));
    matcher.emplace(std::move(grammar));
  }
  TRY_ASSIGN(const bool is_kept, prefill(prompt, cancel));
  TRY(next_->wait());
  const double prompt_ms = watch.lap_ms();
  Reply reply(tokenizer_, reply_, callbacks);
  TRY(decode(reply, matcher ? &*matcher : nullptr, on_first_token, cancel));
  GenerateResult out = reply.finish();
  out.timings.prompt_ms = prompt_ms;
  out.timings.prompt_n = int64_t(prompt.size());
  out.timings.cached_n = is_kept ? out.timings.prompt_n : 0;
  out.timings.predicted_ms = watch.lap_ms();
  return out;
}

}  // namespace reform
