// Phase 2, recompute: the full model over a prompt of gathered tokens, into a fresh cache, and the answer decoded from
// it (REFORM section 3.2).
#pragma once

#include <reform/cancel.h>
#include <reform/generate.h>
#include <reform/status.h>

#include <functional>
#include <memory>
#include <span>

#include "runtime/model/kv_cache.h"
#include "runtime/model/model.h"
#include "runtime/model/transformer.h"
#include "runtime/recompute/next_token.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform {

class Decoder {
 public:
  static OpLimits limits(const ModelShape& shape, const Device& device, int64_t n_prompt_tokens,
                         int64_t max_new_tokens);
  // For one prompt of n_prompt_tokens. All memory is allocated here. The site's ops must have limits().
  static Result<std::unique_ptr<Decoder>> create(const Model& model, const Tokenizer& tokenizer, const Site& site,
                                                 KvView::Type kv_type, int64_t n_prompt_tokens,
                                                 const SamplingOptions& sampling);

  // Prefill of the prompt into the cache, then decode. Pieces given to on_text are whole characters. The
  // result's memory, phases and total time are left to the caller.
  Result<GenerateResult> run(std::span<const int32_t> prompt, const TextCallback& on_text,
                             const std::function<void()>& on_first_token, const CancelToken* cancel);

  // Calls Device::prepare_step() for both kinds of step that a decode may repeat. All weights must be resident. After
  // it, run() must not be called.
  Status prepare_steps();

 private:
  Decoder(const Model& model, const Tokenizer& tokenizer, const Site& site, const SamplingOptions& sampling)
      : model_(model), tokenizer_(tokenizer), device_(site.device), ops_(site.ops), sampling_(sampling) {}
  ForwardArgs whole_model();
  Status prefill(std::span<const int32_t> prompt, const CancelToken* cancel);
  Status issue_step(int64_t kv_len, int32_t token, const CancelToken* cancel);
  Result<int32_t> next_after(int32_t token, const CancelToken* cancel);

  const Model& model_;
  const Tokenizer& tokenizer_;
  Device& device_;
  Ops* const ops_;
  const SamplingOptions sampling_;
  KvCache cache_;
  std::unique_ptr<Transformer> transformer_;
  std::unique_ptr<NextToken> next_;
  int64_t call_tokens_ = 0;
};

}  // namespace reform
