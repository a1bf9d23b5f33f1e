#include <fmt/format.h>

#include <iterator>

#include "base/try.h"
#include "runtime/jobs/ask_method.h"

namespace reform {
namespace {

// The tokens of each span. Spans of one context are next to each other and are read together.
Result<std::vector<Tokens>> read_spans(Ask& ask, std::span<const Span> spans) {
  std::vector<Tokens> tokens;
  for (size_t begin = 0; begin < spans.size(); begin = tokens.size()) {
    std::vector<TokenRange> ranges;
    for (size_t i = begin; i < spans.size() && spans[i].context == spans[begin].context; ++i) {
      ranges.push_back({spans[i].begin_token, spans[i].end_token});
    }
    TRY_ASSIGN(auto read, ask.contexts[size_t(spans[begin].context)].data->read_token_ranges(ranges));
    std::move(read.begin(), read.end(), std::back_inserter(tokens));
  }
  return tokens;
}

Result<Prompt> make_prompt(Ask& ask, std::span<const Span> spans) {
  TRY_ASSIGN(const std::vector<Tokens> tokens, read_spans(ask, spans));
  const bool several = ask.contexts.size() > 1;
  std::vector<Passage> passages;
  for (size_t i = 0; i < spans.size(); ++i) {
    const Span& s = spans[i];
    const bool first_of_context = i == 0 || spans[i - 1].context != s.context;
    const std::string header = several && first_of_context ? fmt::format("{}[{}]\n", i == 0 ? "" : "\n\n",
                                                                         ask.contexts[size_t(s.context)].name())
                                                           : "";
    const bool skipped = first_of_context ? s.begin_token > 0 && !several : spans[i - 1].end_token < s.begin_token;
    passages.push_back({header, skipped, tokens[i].ids});
  }
  return assemble_prompt(*ask.engine.tokenizer, ask.engine.chat.value(), ask.options.system, passages, ask.question);
}

Result<GenerateResult> run(Ask& ask, std::span<const int32_t> prompt) {
  MemoryPlan store;
  store[MemoryCategory::kStore] = planned_store_bytes(0, int64_t(ask.contexts.size()));
  TRY_ASSIGN(auto decoder, ask.engine.open_decoder(int64_t(prompt.size()), ask.options.sampling, store,
                                                   "a smaller --gather-tokens or -n needs less", ask.cancel));
  return decoder->run(
      prompt, ask.callbacks.on_text, [&] { ask.enter("decode"); }, ask.cancel);
}

}  // namespace

Result<Answer> answer_by_recompute(Ask& ask, std::span<const Span> spans) {
  Answer answer;
  TRY_ASSIGN(answer.prompt, make_prompt(ask, spans));
  const int64_t n_prompt = int64_t(answer.prompt.ids.size()), n_new = ask.options.sampling.max_new_tokens;
  const int64_t window = ask.engine.model->shape().trained_window_tokens;
  if (n_prompt + n_new > window) {
    return Status{Code::kUsage, fmt::format("{} tokens to recompute and {} to generate pass the model's window of {}; "
                                            "lower --gather-tokens ({}), the question, or -n",
                                            n_prompt, n_new, window, ask.options.gather_tokens)};
  }
  if (n_new > 0) {
    TRY_ASSIGN(answer.generated, run(ask, answer.prompt.ids));
  } else {  // the model's run over the prompt takes nearly all of an ask's time, and nothing would use its result
    answer.generated.finish_reason = "length";
  }
  return answer;
}

}  // namespace reform
