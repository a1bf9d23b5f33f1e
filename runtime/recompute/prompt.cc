#include "runtime/recompute/prompt.h"

#include "base/try.h"

namespace reform {
namespace {

constexpr const char* kSkipped = "\n[...]\n";

}  // namespace

Result<Prompt> assemble_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat, const std::string& system,
                               std::span<const Passage> passages, const std::string& question,
                               const std::string& instruction) {
  Prompt prompt;
  const auto add = [&](const std::string& text, bool special, int64_t& count) -> Status {
    // token_bytes() of a special token is empty.
    const bool at_start = prompt.ids.empty() || tokenizer.token_bytes(prompt.ids.back(), false).empty();
    TRY_ASSIGN(const std::vector<int32_t> ids,
               special ? tokenizer.encode_special(text, at_start) : tokenizer.encode_plain(text, at_start));
    prompt.ids.insert(prompt.ids.end(), ids.begin(), ids.end());
    count += int64_t(ids.size());
    return {};
  };
  if (tokenizer.add_bos() && tokenizer.bos() >= 0) {
    prompt.ids.push_back(tokenizer.bos());
    ++prompt.template_tokens;
  }
  const std::string& system_text = system.empty() ? chat.default_system : system;
  const auto add_system = [&]() -> Status {
    if (system_text.empty()) return {};
    TRY(add(chat.system_begin, true, prompt.template_tokens));
    TRY(add(system_text, false, prompt.template_tokens));
    return add(chat.system_end, true, prompt.template_tokens);
  };
  if (!chat.system_in_user) TRY(add_system());
  TRY(add(chat.user_begin, true, prompt.template_tokens));
  if (chat.system_in_user) TRY(add_system());
  for (const Passage& passage : passages) {
    if (passage.skipped_before) TRY(add(kSkipped, false, prompt.template_tokens));
    if (!passage.header.empty()) TRY(add(passage.header, false, prompt.template_tokens));
    prompt.ids.insert(prompt.ids.end(), passage.ids.begin(), passage.ids.end());
    prompt.passage_tokens += int64_t(passage.ids.size());
  }
  if (!passages.empty()) TRY(add("\n\n", false, prompt.template_tokens));
  prompt.question_begin = int64_t(prompt.ids.size());
  TRY(add(question, false, prompt.question_tokens));
  if (!instruction.empty()) TRY(add("\n" + instruction, false, prompt.template_tokens));
  TRY(add(chat.user_end, true, prompt.template_tokens));
  TRY(add(chat.assistant_begin, true, prompt.template_tokens));
  return prompt;
}

}  // namespace reform
