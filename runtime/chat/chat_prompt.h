// Messages as a prompt of token ids: what the chat template makes of them.
//
// Only the template's own text becomes special tokens; what messages say never does, whatever the template does to it.
#pragma once

#include <reform/chat.h>
#include <reform/status.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/chat/chat_template.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform {

// A piece of what a message says: text, or token ids as stored. Pieces are encoded each by itself.
struct MessagePart {
  enum class Kind : uint8_t { kOther, kPassage, kQuestion };
  Kind kind = Kind::kOther;
  std::string text;
  std::span<const int32_t> ids = {};
};

struct ChatMessage {
  std::string role;
  std::vector<MessagePart> parts;
};

struct Prompt {
  std::vector<int32_t> ids;
  int64_t template_tokens = 0;  // template, system text, separators, headers and instruction
  int64_t passage_tokens = 0;
  int64_t question_tokens = 0;
  int64_t question_begin = 0;  // in ids
  ReasoningState reasoning;    // at its end
};

// The template over the messages, as text. What is of messages[i] has the source i (jinja/text.h).
// kUsage: the template refuses them, with what it says.
Result<jinja::Text> render_chat(const ChatTemplate& chat, const Tokenizer& tokenizer,
                                std::span<const ChatMessage> messages, const ChatOptions& options);

// The same as ids, [BOS] first if the model wants it. If the template knows no system turn, the system text begins the
// first user's.
Result<Prompt> chat_prompt(const ChatTemplate& chat, const Tokenizer& tokenizer, std::vector<ChatMessage> messages,
                           const ChatOptions& options);

// Why a model that is told to think will not, or not so that it shows; "": nothing is known against it.
std::string thinking_problem(const ChatTemplate& chat, const Tokenizer& tokenizer, const ChatOptions& options);

}  // namespace reform
