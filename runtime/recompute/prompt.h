// The prompt of an answer: the gathered passages and the question inside the chat template (REFORM section 3.2).
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <span>
#include <string>

#include "runtime/chat/chat_prompt.h"

namespace reform {

// One gathered span of token ids as stored.
struct Passage {
  std::string header;           // names the context if there are several, else empty
  bool skipped_before = false;  // text was left out between this passage and the one before
  std::span<const int32_t> ids;
};

// What the prompt says beside the passages and the question.
struct PromptWords {
  std::string system;       // "" leaves the template's own
  std::string instruction;  // in a line behind the question; "": none
};

// The one place that defines what an ask says: a system turn, if the caller has a text for it; the turns before; then
// the user's: passages in document order with a fixed separator where text was skipped, an empty line, the question,
// the instruction. The chat template says the rest.
Result<Prompt> assemble_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, const PromptWords& words,
                               std::span<const Passage> passages, const std::string& question,
                               const ChatOptions& options = {});

}  // namespace reform
