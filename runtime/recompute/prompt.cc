#include "runtime/recompute/prompt.h"

#include "base/try.h"

namespace reform {
namespace {

constexpr const char* kSkipped = "\n[...]\n";

}  // namespace

Result<Prompt> assemble_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, const PromptWords& words,
                               std::span<const Passage> passages, const std::string& question,
                               const ChatOptions& options) {
  using Kind = MessagePart::Kind;
  std::vector<ChatMessage> messages;
  if (!words.system.empty()) messages.push_back({"system", {{Kind::kOther, words.system, {}}}});
  for (const Message& turn : options.history) messages.push_back({turn.role, {{Kind::kOther, turn.content, {}}}});
  ChatMessage user{"user", {}};
  for (const Passage& passage : passages) {
    if (passage.skipped_before) user.parts.push_back({Kind::kOther, kSkipped, {}});
    if (!passage.header.empty()) user.parts.push_back({Kind::kOther, passage.header, {}});
    user.parts.push_back({Kind::kPassage, "", passage.ids});
  }
  if (!passages.empty()) user.parts.push_back({Kind::kOther, "\n\n", {}});
  user.parts.push_back({Kind::kQuestion, question, {}});
  if (!words.instruction.empty()) user.parts.push_back({Kind::kOther, "\n" + words.instruction, {}});
  messages.push_back(std::move(user));
  return chat_prompt(chat, tokenizer, std::move(messages), options);
}

}  // namespace reform
