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

struct Task {
  std::vector<int32_t> ids;  // of the prompt
  ReplyPlan reply;
  std::string size_options = "-n";  // what makes the reply shorter
};

Result<Task> chat_task(Engine::Impl& engine, const std::string& prompt, const GenerateOptions& options) {
  const Tokenizer& tokenizer = *engine.tokenizer;
  TRY_ASSIGN(const ChatTemplate* chat, engine.chat_for_prompt(options.chat_options));
  TRY_ASSIGN(Prompt assembled,
             assemble_prompt(tokenizer, *chat, {options.system, ""}, {}, prompt, options.chat_options));
  const ChatOptions chosen =
      chosen_chat(options.chat_options, options.sampling, engine.model->shape().trained_window_tokens);
  const ReplyPlan reply = plan_reply(*chat, assembled, options.sampling, chosen);
  return Task{std::move(assembled.ids), reply, reply_size_options(*chat, options.sampling, chosen)};
}

Result<Task> make_task(Engine::Impl& engine, const std::string& prompt, const GenerateOptions& options) {
  if (options.chat) return chat_task(engine, prompt, options);
  const Tokenizer& tokenizer = *engine.tokenizer;
  Task task{{}, {options.sampling}};
  if (tokenizer.add_bos() && tokenizer.bos() >= 0) task.ids.push_back(tokenizer.bos());
  TRY_ASSIGN(const std::vector<int32_t> text, tokenizer.encode_special(prompt));
  task.ids.insert(task.ids.end(), text.begin(), text.end());
  return task;
}

Status check_window(const Task& task, int64_t window_tokens) {
  const int64_t n_prompt = int64_t(task.ids.size()), n_new = task.reply.max_tokens();
  if (n_prompt + n_new <= window_tokens) return {};
  return {Code::kUsage, fmt::format("{} prompt tokens and {} new ones pass the model's window of {}; lower {}, or "
                                    "ingest the text and ask it",
                                    n_prompt, n_new, window_tokens, task.size_options)};
}

}  // namespace

Result<GenerateResult> generate(Engine& engine_handle, const std::string& prompt, const GenerateOptions& options,
                                const ReplyCallbacks& callbacks, const CancelToken* cancel) {
  TRY(options.sampling.validate());
  TRY(options.chat_options.validate());
  Engine::Impl& engine = engine_handle.impl();
  TRY_ASSIGN(const auto turn, engine.turns.take(Turns::Kind::kQuestion, cancel));
  const Stopwatch total;
  if (is_blank(prompt)) return Status{Code::kUsage, "the prompt is empty"};
  TRY(check_utf8("the prompt", prompt));
  TRY(check_utf8("the system text (--system)", options.system));
  TRY_ASSIGN(const Task task, make_task(engine, prompt, options));
  if (task.ids.empty()) return Status{Code::kUsage, "the model's vocabulary has no tokens for the prompt"};
  TRY(check_window(task, engine.model->shape().trained_window_tokens));
  const std::string advice = fmt::format("a shorter prompt or a smaller {} needs less", task.size_options);
  TRY_ASSIGN(auto decoder, engine.open_decoder(int64_t(task.ids.size()), task.reply, {}, advice, cancel));
  auto made = decoder->run(task.ids, callbacks, {}, cancel);
  TRY(judge(*engine.gguf, made.status()));
  GenerateResult out = std::move(made).value();
  out.empty_because = why_empty(out);
  out.prompt = engine.tokenizer->decode(task.ids, /*special=*/true, /*at_start=*/true);
  out.timings.phases_ms = {{"recompute_ms", out.timings.prompt_ms}, {"decode_ms", out.timings.predicted_ms}};
  out.timings.total_ms = total.elapsed_ms();
  out.memory = memory_report(engine, nullptr);
  return out;
}

int64_t most_reply_tokens(Engine& engine_handle, const SamplingOptions& sampling, const ChatOptions& chat) {
  const Engine::Impl& engine = engine_handle.impl();
  if (!engine.chat.ok()) return sampling.max_new_tokens;
  return most_reply_tokens(engine.chat.value(), sampling,
                           chosen_chat(chat, sampling, engine.model->shape().trained_window_tokens));
}

Result<std::vector<TextToken>> tokenize(Engine& engine, const std::string& text) {
  TRY(check_utf8("the text", text));
  const Tokenizer& tokenizer = *engine.impl().tokenizer;
  TRY_ASSIGN(const std::vector<int32_t> ids, tokenizer.encode_plain(text));
  std::vector<TextToken> tokens;
  tokens.reserve(ids.size());
  for (const int32_t id : ids) tokens.push_back({id, tokenizer.token_bytes(id, /*special=*/true)});
  return tokens;
}

Result<int64_t> count_tokens(Engine& engine, const std::string& text) {
  TRY(check_utf8("the text", text));
  TRY_ASSIGN(const std::vector<int32_t> ids, engine.impl().tokenizer->encode_plain(text));
  return int64_t(ids.size());
}

}  // namespace reform
