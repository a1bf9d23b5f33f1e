// Truncation, as programs without a long context do it: the beginning or the end of the text. Several contexts are one
// text, joined in the order named.
#include <fmt/format.h>

#include <algorithm>

#include "base/try.h"
#include "runtime/jobs/methods/methods.h"

namespace reform {
namespace {

enum class End { kFirst, kLast };

// The first or the last n_kept of all tokens.
std::vector<Span> spans_of(std::span<const OpenContext> contexts, End end, int64_t n_kept) {
  int64_t n_all = 0;
  for (const OpenContext& context : contexts) n_all += context.n_tokens();
  const int64_t kept_begin = end == End::kFirst ? 0 : n_all - n_kept, kept_end = kept_begin + n_kept;
  std::vector<Span> spans;
  int64_t before = 0;
  for (size_t c = 0; c < contexts.size(); ++c) {
    const int64_t n = contexts[c].n_tokens();
    const int64_t from = std::clamp<int64_t>(kept_begin - before, 0, n),
                  to = std::clamp<int64_t>(kept_end - before, 0, n);
    if (from < to) spans.push_back({int32_t(c), from, to, false, kUnscored});
    before += n;
  }
  return spans;
}

// As much as the window has room for. What stands between passages, such as the names of files, depends on which these
// are, so a prompt that is too long tells by how much.
Result<Selection> fill_window(Ask& ask, End end, int64_t n_all) {
  TRY(ask.engine.chat);
  const int64_t room = prompt_room(ask);
  for (int64_t n_kept = std::min(n_all, room); n_kept > 0;) {
    Selection selection{spans_of(ask.contexts, end, n_kept)};
    TRY_ASSIGN(const Prompt prompt, make_prompt(ask, selection.spans));
    const int64_t excess = int64_t(prompt.ids.size()) - room;
    if (excess <= 0) return selection;
    n_kept -= excess;
  }
  const int64_t n_new = new_tokens(ask);
  return Status{Code::kUsage, fmt::format("the question and {} tokens to generate leave no room for the text in the "
                                          "model's window of {}; ask more briefly or lower {}",
                                          n_new, room + n_new, size_options(ask, ""))};
}

Result<Selection> select_end(Ask& ask, End end) {
  int64_t n_all = 0;
  for (const OpenContext& context : ask.contexts) n_all += context.n_tokens();
  const int64_t budget = ask.options.gather_tokens;
  if (budget == GatherOptions::kAuto) return fill_window(ask, end, n_all);
  return Selection{spans_of(ask.contexts, end, std::min(n_all, budget))};
}

AskMethod truncation(End end, const char* name, const char* summary) {
  return {
      .query = query_nothing,
      .select = [end](Ask& ask, const Query&) { return select_end(ask, end); },
      .answer = answer_by_recompute,
      .traits = {
          .name = name, .summary = summary, .options = {"--gather-tokens"}, .searches = true, .fills_window = true}};
}

}  // namespace

AskMethod first_method() {
  return truncation(End::kFirst, "first", "the first tokens of the text, as many as fit (truncation)");
}

AskMethod last_method() { return truncation(End::kLast, "last", "the last tokens of the text, as many as fit"); }

}  // namespace reform
