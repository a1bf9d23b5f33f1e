#include <fmt/format.h>
#include <reform/text.h>

#include <algorithm>
#include <iterator>

#include "base/stopwatch.h"
#include "base/try.h"
#include "runtime/jobs/methods/methods.h"
#include "runtime/jobs/store_impl.h"
#include "runtime/model/judge.h"
#include "runtime/recompute/empty_text.h"
#include "runtime/text/sources.h"
#include "runtime/tokenizer/unicode.h"

namespace reform {
namespace {

// The parts of a score are the heads', the words' and the length's.
void name_parts(Source& source, const Heads& heads) {
  if (source.parts.empty()) return;
  for (size_t h = 0; h < heads.size(); ++h) source.parts[h].name = to_string(heads[h]);
  source.parts[heads.size()].name = "lexical";
  source.parts[heads.size() + 1].name = "length";
}

void take_answer(Answer answer, const Tokenizer& tokenizer, AskResult& out) {
  out.empty_because = why_empty(answer.generated);
  out.answer = std::move(answer.generated.text);
  out.finish_reason = std::move(answer.generated.finish_reason);
  out.tokens = std::move(answer.generated.tokens);
  out.reasoning = std::move(answer.generated.reasoning);
  out.reasoning_tokens = answer.generated.reasoning_tokens;
  out.reasoning_finish_reason = std::move(answer.generated.reasoning_finish_reason);
  out.prompt = tokenizer.decode(answer.prompt.ids, /*special=*/true, /*at_start=*/true);
  out.question_tokens = answer.prompt.question_tokens;
  out.template_tokens = answer.prompt.template_tokens;
  out.timings = std::move(answer.generated.timings);
  out.recomputed_tokens = out.timings.prompt_n;
}

Status check_pages(const MethodTraits& method, const Engine::Impl& engine, const OpenContext& context) {
  if (!context.settings.pages) {
    return {Code::kUsage,
            fmt::format("context '{}' keeps no pages, and the method {} answers from them; ingest its text "
                        "with --pages",
                        context.name(), method.name)};
  }
  if (engine.device->is_host()) return {};
  return {Code::kUnavailable,
          fmt::format("the method {} runs on the CPU only, and the model is on {}; use --device cpu", method.name,
                      engine.device->name())};
}

Status check_contexts(const MethodTraits& method, const Engine::Impl& engine, std::span<const OpenContext> contexts) {
  if (!method.from_cache) return {};
  if (contexts.size() > 1) {
    return {Code::kUsage, fmt::format("the method {} answers from one context's cache, and {} are named", method.name,
                                      contexts.size())};
  }
  if (method.from_pages) return check_pages(method, engine, contexts[0]);
  if (contexts[0].settings.full_depth) return {};
  return {Code::kUsage,
          fmt::format("context '{}' keeps the cache of its lower layers only, and the method {} needs that "
                      "of every layer; ingest its text with --full-depth",
                      contexts[0].name(), method.name)};
}

// What is chosen by itself takes no more than the window leaves beside what else the prompt says, and beside headings
// and marks between passages. True: it had to be cut.
Result<bool> fit_into_window(Ask& ask, const AskOptions& asked, AskOptions& chosen) {
  if (asked.gather_tokens != GatherOptions::kAuto || chosen.sampling.max_new_tokens == 0) return false;
  TRY_ASSIGN(const Prompt frame, make_prompt(ask, {}));
  const int64_t room = std::max<int64_t>(0, prompt_room(ask) - int64_t(frame.ids.size()));
  const int64_t left = room - std::max(room / 8, std::min<int64_t>(256, room / 3));
  if (chosen.gather_tokens + chosen.edge_tokens <= left) return false;
  if (asked.edge_tokens == GatherOptions::kAuto) chosen.edge_tokens = 0;
  chosen.gather_tokens = std::min(chosen.gather_tokens, std::max<int64_t>(0, left - chosen.edge_tokens));
  return true;
}

// `tight`: Ask::options where they may gather less, as headings and marks may take more than was left for them.
Result<Selection> select(const AskMethod& method, Ask& ask, const Query& query, AskOptions* tight) {
  for (;;) {
    TRY_ASSIGN(Selection selection, method.select(ask, query));
    if (tight == nullptr || tight->gather_tokens == 0) return selection;
    TRY_ASSIGN(const Prompt prompt, make_prompt(ask, selection.spans));
    if (int64_t(prompt.ids.size()) <= prompt_room(ask)) return selection;
    tight->gather_tokens /= 2;
  }
}

Result<AskResult> run(const AskMethod& method, Ask& ask, AskOptions* tight) {
  AskResult out;
  TRY_ASSIGN(const Ids ids, encode_question(ask.engine, ask.question, new_tokens(ask), size_options(ask, "")));
  ask.enter("query");
  TRY_ASSIGN(const std::vector<Query> queries, run_query(method, ask, {&ids, 1}));
  ask.enter("gather");
  Stopwatch watch;
  TRY_ASSIGN(const Selection selection, select(method, ask, queries[0], tight));
  const std::vector<Span>& spans = selection.spans;
  out.confidence = selection.confidence;
  for (const Span& s : spans) (s.edge ? out.edge_tokens : out.gathered_tokens) += s.end_token - s.begin_token;
  TRY_ASSIGN(out.sources, sources_of(ask, spans));
  const double gather_ms = watch.lap_ms();
  if (ask.callbacks.on_sources) ask.callbacks.on_sources(out.sources);
  ask.enter("recompute");
  TRY_ASSIGN(Answer answer, method.answer(ask, spans));
  take_answer(std::move(answer), *ask.engine.tokenizer, out);
  out.method = method.traits.name;
  out.full_model_tokens = ask.full_model_tokens + out.recomputed_tokens;
  out.bytes_read = ask.bytes_read();
  out.timings.phases_ms = {{"load_ms", ask.load_ms},
                           {"query_ms", queries[0].run_ms},
                           {"gather_ms", gather_ms},
                           {"recompute_ms", out.timings.prompt_ms},
                           {"decode_ms", out.timings.predicted_ms}};
  return out;
}

}  // namespace

int64_t Ask::bytes_read() const {
  int64_t bytes = 0;
  for (const OpenContext& context : contexts) bytes += context.data->bytes_read();
  return bytes;
}

Result<Ids> encode_question(const Engine::Impl& engine, const std::string& question, int64_t n_reply_tokens,
                            const std::string& reply_options) {
  if (is_blank(question)) return Status{Code::kUsage, "the question is empty"};
  TRY(check_utf8("the question", question));
  TRY_ASSIGN(Ids ids, engine.tokenizer->encode_plain(question));
  if (ids.empty()) return Status{Code::kUsage, "the model's vocabulary has no tokens for the question"};
  const int64_t n = int64_t(ids.size()), window = engine.model->shape().trained_window_tokens;
  if (n + n_reply_tokens <= window) return ids;
  if (n_reply_tokens == 0) {
    return Status{Code::kUsage,
                  fmt::format("the question's {} tokens pass the model's window of {}; ask more briefly", n, window)};
  }
  return Status{Code::kUsage, fmt::format("the question's {} tokens and {} to generate pass the model's window of {}; "
                                          "lower {}, or ask more briefly and ingest what is long",
                                          n, n_reply_tokens, window, reply_options)};
}

Result<std::vector<Source>> sources_of(Ask& ask, std::span<const Span> spans) {
  std::vector<Source> all;
  for (size_t c = 0; c < ask.contexts.size(); ++c) {
    std::vector<Span> own;
    std::copy_if(spans.begin(), spans.end(), std::back_inserter(own),
                 [&](const Span& s) { return size_t(s.context) == c; });
    const OpenContext& context = ask.contexts[c];
    TRY_ASSIGN(auto sources,
               make_sources(*context.data, *ask.engine.tokenizer, context.files, context.settings.encoding, own));
    for (Source& source : sources) name_parts(source, context.settings.heads);
    std::move(sources.begin(), sources.end(), std::back_inserter(all));
  }
  return all;
}

Result<std::vector<Query>> run_query(const AskMethod& method, Ask& ask, std::span<const Ids> questions) {
  TRY_ASSIGN(std::vector<Query> queries, method.query(ask, questions));
  if (queries.size() != questions.size()) return Status{Code::kInternal, "a query must be made for each question"};
  return queries;
}

Result<AskResult> ask_with(const AskMethod& method, Engine& engine_handle, Store& store_handle,
                           const std::vector<std::string>& contexts, const std::string& question,
                           const AskOptions& options, const AskCallbacks& callbacks, const CancelToken* cancel) {
  TRY(options.validate());
  Engine::Impl& engine = engine_handle.impl();
  Store::Impl& store = store_handle.impl();
  TRY_ASSIGN(const auto turn, engine.turns.take(Turns::Kind::kQuestion, cancel));
  remark_disk(engine, store);
  const Stopwatch total;
  if (contexts.empty()) return Status{Code::kUsage, "name at least one context to ask"};
  TRY(engine.chat_for_prompt(options.chat));
  TRY(check_utf8("the system text (--system)", options.system));
  AskOptions chosen = options;
  Ask ask{engine, question, chosen, callbacks, cancel, /*contexts=*/{}};
  ask.enter("load");
  TRY_ASSIGN(ask.contexts, open_contexts(engine, *store.contexts, contexts));
  TRY(check_contexts(method.traits, engine, ask.contexts));
  chosen = chosen_options(options, method.traits, ask.contexts, engine);
  bool is_tight = false;
  if (method.traits.searches && !method.traits.fills_window) {
    TRY_ASSIGN(is_tight, fit_into_window(ask, options, chosen));
  }
  ask.load_ms = total.elapsed_ms();
  auto result = run(method, ask, is_tight ? &chosen : nullptr);
  // Noted even if there is no answer, since eviction goes by last use.
  store.contexts->note_asked(contexts);
  TRY(judge(*engine.gguf, result.status()));
  result.value().timings.total_ms = total.elapsed_ms();
  result.value().memory = memory_report(engine, &store.account);
  return result;
}

Result<AskResult> ask(Engine& engine, Store& store, const std::vector<std::string>& contexts,
                      const std::string& question, const AskOptions& options, const AskCallbacks& callbacks,
                      const CancelToken* cancel) {
  TRY_ASSIGN(const AskMethod method, method_named(options.method));
  return ask_with(method, engine, store, contexts, question, options, callbacks, cancel);
}

}  // namespace reform
