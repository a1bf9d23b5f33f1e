// Phase 2, recompute: the prompt made of the gathered tokens, and the full model over it (REFORM section 3.2).
#pragma once

#include <reform/cancel.h>
#include <reform/generate.h>
#include <reform/status.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/memory.h"
#include "runtime/chat_template.h"
#include "runtime/kv_cache.h"
#include "runtime/model.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform {

// One gathered span of token ids as stored.
struct Passage {
  std::string header;           // names the context where there are several, else empty
  bool skipped_before = false;  // text was left out between this passage and the one before
  std::span<const int32_t> ids;
};

struct Prompt {
  std::vector<int32_t> ids;
  int64_t template_tokens = 0;  // template, system text, separators and headers
  int64_t passage_tokens = 0;
  int64_t question_tokens = 0;
};

// The one place that says what an answer is made of:
//   [BOS] system turn (if the template or the caller has one), user turn: passages in document order with a fixed
//   separator where text was skipped, an empty line, the question; then the assistant's head.
// Only the template's own pieces are encoded with special tokens; text, system and question never are.
Result<Prompt> assemble_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, const std::string& system,
                               std::span<const Passage> passages, const std::string& question);

struct GeneratedText {
  std::string text, finish_reason;  // "stop", "length" or "cancelled"
  int64_t n_tokens = 0;
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
