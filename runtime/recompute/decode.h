// Phase 2, recompute: the full model over a prompt of gathered tokens, into a fresh cache, and the answer decoded from
// it (REFORM section 3.2).
#pragma once

#include <reform/cancel.h>
#include <reform/generate.h>
#include <reform/status.h>

#include <functional>
#include <span>
#include <string>

#include "runtime/model/kv_cache.h"
#include "runtime/model/model.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform {

struct GeneratedText {
  std::string text, finish_reason;            // "stop", "length" or "cancelled"
  int64_t n_prompt_tokens = 0, n_tokens = 0;  // run through the model, and generated
  double prefill_ms = 0, decode_ms = 0;
};

struct RecomputeSizes {
  int64_t call_tokens = 0, capacity = 0;
};
RecomputeSizes recompute_sizes(const Device& device, int64_t n_prompt_tokens, int64_t max_new_tokens);

// Device::prepare_step() for both kinds of step, on buffers of kDecodeAhead, which are gone when it returns. All
// weights are resident.
inline constexpr RecomputeSizes kDecodeAhead{.call_tokens = 1, .capacity = 1};
Status prepare_decode(const Model& model, Device& device, Ops& ops, KvView::Type kv_type);

// Prefill of the prompt into a fresh cache, then decode. Pieces given to on_text are whole characters.
Result<GeneratedText> run_prompt(const Model& model, const Tokenizer& tokenizer, Device& device, Ops& ops,
                                 KvView::Type kv_type, std::span<const int32_t> prompt, const SamplingOptions& sampling,
                                 const TextCallback& on_text, const std::function<void()>& on_first_token,
                                 const CancelToken* cancel);

}  // namespace reform
