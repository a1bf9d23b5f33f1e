#include <fmt/format.h>
#include <reform/generate.h>
#include <reform/text.h>

#include "base/stopwatch.h"
#include "base/try.h"
#include "runtime/engine/engine_impl.h"
#include "runtime/model/judge.h"
#include "runtime/recompute/decode.h"
#include "runtime/recompute/empty_text.h"
#include "runtime/recompute/prompt.h"
#include "runtime/tokenizer/unicode.h"

namespace reform {
namespace {

Result<std::vector<int32_t>> encode_prompt(Engine::Impl& engine, const std::string& prompt,
                                           const GenerateOptions& options) {
  const Tokenizer& tokenizer = *engine.tokenizer;
  if (options.chat) {
    TRY_ASSIGN(const ChatTemplate* chat, engine.chat_for_prompt());
    TRY_ASSIGN(Prompt assembled,
               assemble_prompt(tokenizer, *chat, {options.system, ""}, {}, prompt, options.chat_options));
    return assembled.ids;
  }
  std::vector<int32_t> ids;
  if (tokenizer.add_bos() && tokenizer.bos() >= 0) ids.push_back(tokenizer.bos());
  TRY_ASSIGN(const std::vector<int32_t> text, tokenizer.encode_special(prompt));
  ids.insert(ids.end(), text.begin(), text.end());
  return ids;
}

}  // namespace

Result<GenerateResult> generate(Engine& engine_handle, const std::string& prompt, const GenerateOptions& options,
                                const TextCallback& on_text, const CancelToken* cancel) {
  TRY(options.sampling.validate());
  TRY(options.chat_options.validate());
  Engine::Impl& engine = engine_handle.impl();
  TRY_ASSIGN(const auto turn, engine.turns.take(cancel));
  const Stopwatch total;
  if (is_blank(prompt)) return Status{Code::kUsage, "the prompt is empty"};
  TRY(check_utf8("the prompt", prompt));
  TRY(check_utf8("the system text (--system)", options.system));
  TRY_ASSIGN(const std::vector<int32_t> ids, encode_prompt(engine, prompt, options));
  if (ids.empty()) return Status{Code::kUsage, "the model's vocabulary has no tokens for the prompt"};
  const ModelShape& shape = engine.model->shape();
  const int64_t n_all = int64_t(ids.size()) + options.sampling.max_new_tokens;
  if (n_all > shape.trained_window_tokens) {
    return Status{Code::kUsage,
                  fmt::format("{} prompt tokens and {} new ones pass the model's window of {}; lower -n, or ingest "
                              "the text and ask it",
                              ids.size(), options.sampling.max_new_tokens, shape.trained_window_tokens)};
  }
  TRY_ASSIGN(auto decoder, engine.open_decoder(int64_t(ids.size()), options.sampling, {},
                                               "a shorter prompt or a smaller -n needs less", cancel));
  auto made = decoder->run(ids, on_text, {}, cancel);
  TRY(judge(*engine.gguf, made.status()));
  GenerateResult out = std::move(made).value();
  out.empty_because = why_empty(out);
  out.prompt = engine.tokenizer->decode(ids, /*special=*/true, /*at_start=*/true);
  out.timings.phases_ms = {{"recompute_ms", out.timings.prompt_ms}, {"decode_ms", out.timings.predicted_ms}};
  out.timings.total_ms = total.elapsed_ms();
  out.memory = memory_report(engine, nullptr);
  return out;
}

}  // namespace reform
