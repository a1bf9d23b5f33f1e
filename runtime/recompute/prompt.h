// The prompt of an answer: the gathered passages and the question inside the chat template (REFORM section 3.2).
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/model/chat_template.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform {

// One gathered span of token ids as stored.
struct Passage {
  std::string header;           // names the context if there are several, else empty
  bool skipped_before = false;  // text was left out between this passage and the one before
  std::span<const int32_t> ids;
};

struct Prompt {
  std::vector<int32_t> ids;
  int64_t template_tokens = 0;  // template, system text, separators, headers and instruction
  int64_t passage_tokens = 0;
  int64_t question_tokens = 0;
  int64_t question_begin = 0;  // in ids
};

// The one place that defines the prompt:
//   [BOS] system turn (if the template or the caller has one), user turn: passages in document order with a fixed
//   separator where text was skipped, an empty line, the question, a line with the instruction if there is one; then
//   the assistant's head.
// Only the template's own pieces are encoded with special tokens; text, system and question never are.
Result<Prompt> assemble_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, const std::string& system,
                               std::span<const Passage> passages, const std::string& question,
                               const std::string& instruction = "");

}  // namespace reform
