// The whole text, where the model's window has room for it.
#include <fmt/format.h>

#include "base/try.h"
#include "runtime/jobs/methods/methods.h"

namespace reform {
namespace {

Status too_long(const Ask& ask, int64_t n_text, int64_t n_beside) {
  const int64_t n_new = new_tokens(ask);
  return {Code::kUsage, fmt::format("the whole text has {} tokens; with {} of question and template and {} to generate "
                                    "that passes the model's window of {}; other methods answer from parts of it",
                                    n_text, n_beside, n_new, prompt_room(ask) + n_new)};
}

// A text that is too long is not read.
Result<Selection> select_all(Ask& ask, const Query&) {
  Selection selection;
  int64_t n_text = 0;
  for (size_t c = 0; c < ask.contexts.size(); ++c) {
    selection.spans.push_back({int32_t(c), 0, ask.contexts[c].n_tokens(), false, kUnscored});
    n_text += ask.contexts[c].n_tokens();
  }
  TRY_ASSIGN(const Prompt alone, make_prompt(ask, {}));
  const int64_t n_beside = int64_t(alone.ids.size());
  if (n_text + n_beside > prompt_room(ask)) return too_long(ask, n_text, n_beside);
  return selection;
}

Result<Answer> answer_from_all(Ask& ask, std::span<const Span> spans) {
  TRY_ASSIGN(Prompt prompt, make_prompt(ask, spans));
  const int64_t n_prompt = int64_t(prompt.ids.size());
  if (n_prompt > prompt_room(ask)) return too_long(ask, prompt.passage_tokens, n_prompt - prompt.passage_tokens);
  return answer_prompt(ask, std::move(prompt), /*size_option=*/"");
}

}  // namespace

AskMethod full_method() {
  return {
      .query = query_nothing,
      .select = select_all,
      .answer = answer_from_all,
      .traits = {.name = "full", .summary = "the whole text, if the model's window has room for it", .options = {}}};
}

}  // namespace reform
