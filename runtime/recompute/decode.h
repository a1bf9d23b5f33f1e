// Phase 2, recompute: the full model over a prompt of gathered tokens, into a fresh cache, and the answer decoded from
// it (REFORM section 3.2).
#pragma once

#include <reform/cancel.h>
#include <reform/generate.h>
#include <reform/status.h>

#include <functional>
#include <memory>
#include <span>

#include "runtime/model/model.h"
#include "runtime/recompute/next_token.h"
#include "runtime/recompute/prompt_cache.h"
#include "runtime/recompute/reply.h"
#include "runtime/recompute/whole_model.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform {

class Decoder {
 public:
  // For one prompt of n_prompt_tokens. With n_stored_slots > 0 up to so many slots are put into cache() before it runs,
  // their keys un-rotated.
  static OpLimits limits(const ModelShape& shape, const Device& device, int64_t n_prompt_tokens,
                         int64_t max_reply_tokens, int64_t n_stored_slots = 0);
  // All memory is allocated here. The site's ops must have limits().
  static Result<std::unique_ptr<Decoder>> create(const Model& model, const Tokenizer& tokenizer, const Site& site,
                                                 KvView::Type kv_type, int64_t n_prompt_tokens, const ReplyPlan& reply,
                                                 int64_t n_stored_slots = 0);

  KvCache& cache() { return whole_.cache(); }
  // Where prompts are kept, for run() without stored slots; nullptr: nowhere. The device must be the host's.
  void use_prompts(PromptCache* prompts) { prompts_ = prompts; }
  void set_slot_bias(SlotBias bias) { whole_.set_slot_bias(std::move(bias)); }  // of the stored slots

  // Runs tokens of the prompt that stand before stored slots. Theirs, from cache().kv_len() on, are put in after it.
  Status run_ahead(std::span<const int32_t> ids, const CancelToken* cancel) { return whole_.run(ids, cancel); }
  // Prefill of the prompt into the cache, then decode. The result's memory, phases and total time are left to the
  // caller.
  Result<GenerateResult> run(std::span<const int32_t> prompt, const ReplyCallbacks& callbacks,
                             const std::function<void()>& on_first_token, const CancelToken* cancel);

  // Calls Device::prepare_step() for both kinds of step that a decode may repeat. All weights must be resident. After
  // it, run() must not be called.
  Status prepare_steps();

 private:
  Decoder(const Model& model, const Tokenizer& tokenizer, const Site& site, const ReplyPlan& reply)
      : model_(model), tokenizer_(tokenizer), device_(site.device), ops_(site.ops), reply_(reply) {}
  // True: the prompt's states were kept.
  Result<bool> prefill(std::span<const int32_t> prompt, const CancelToken* cancel);
  Status issue_step(int64_t kv_len, int32_t token, const CancelToken* cancel);
  Status advance(int32_t token, const CancelToken* cancel);
  // `matcher`: of the answer; nullptr: it is free.
  Result<int32_t> take(const Reply& reply, const Matcher* matcher);
  Status decode(Reply& reply, Matcher* matcher, const std::function<void()>& on_first_token, const CancelToken* cancel);

  const Model& model_;
  const Tokenizer& tokenizer_;
  Device& device_;
  Ops* const ops_;
  const ReplyPlan reply_;
  WholeModel whole_;
  std::unique_ptr<NextToken> next_;
  PromptCache* prompts_ = nullptr;
  bool may_repeat_ = true;  // a step is one that Device::run_step() knows
};

}  // namespace reform
