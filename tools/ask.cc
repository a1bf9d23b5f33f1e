// reform ask: answers a question from one or more contexts.
#include <fmt/format.h>
#include <reform/ask.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "tools/asking.h"
#include "tools/chat_flags.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/json_output.h"
#include "tools/numbers.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/reply.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace reform::tool {
namespace {

struct AskFlags {
  EngineFlags engine;
  std::string store_dir;
  std::vector<std::string> names_and_question;
  SamplingFlags sampling;
  ChatFlags chat;
  AskOptions options;
  bool sources = false, show_prompt = false;
  std::optional<int64_t> top;
};

void print_sources(Output& out, std::vector<Source> sources, int64_t top) {
  rank_sources(sources);
  out.text("\nSources:\n");
  print_ranked(out, sources, top);
}

void print_cost(Output& out, const AskResult& r) {
  const Timings& t = r.timings;
  std::string decode, read;
  if (t.predicted_ms > 0) decode = fmt::format(" at {:.1f} tokens/s", double(t.predicted_n) * 1000 / t.predicted_ms);
  if (r.full_model_tokens > t.prompt_n)
    read = fmt::format(" ({} by the whole model in all)", format_count(r.full_model_tokens));
  out.progress().remark(fmt::format("[{} tokens recomputed{}, {} generated{}; {} in all, peak memory {}]",
                                    format_count(t.prompt_n), read, format_count(t.predicted_n), decode,
                                    format_duration(t.total_ms / 1000), format_bytes(r.memory.peak_host_bytes)));
}

Status run_ask(const AskFlags& flags, Output& out) {
  std::vector<std::string> names = flags.names_and_question;
  const std::string question = names.back();
  names.pop_back();
  AskOptions options = flags.options;
  options.sampling = sampling_options(flags.sampling);
  if (Status s = options.validate(); !s.ok()) return s;

  auto asked = open_asked(flags.store_dir, names, flags.engine, /*with_question=*/true, out);
  if (!asked.ok()) return asked.status();
  const auto& [store, engine] = asked.value();

  if (flags.chat.show_template) return show_template(*engine, out);
  const CancelScope scope;
  ReplyView view(out);
  const ReplyCallbacks reply = view.callbacks();
  AskCallbacks callbacks;
  callbacks.on_text = reply.on_text, callbacks.on_reasoning = reply.on_reasoning;
  callbacks.on_phase = [&](const std::string& phase) { out.progress().phase(phase); };
  callbacks.on_chunk = [&](int64_t done, int64_t all) {
    out.progress().update([&](int) { return fmt::format("{} / {} chunks", format_count(done), format_count(all)); });
  };
  auto result = ask(*engine, *store, names, question, options, callbacks, &scope.token());
  if (!result.ok()) {
    if (result.status().code == Code::kCancelled) {
      view.finish();
      return {Code::kCancelled, "stopped; the answer is not complete, and the context is as it was"};
    }
    return result.status();
  }
  const AskResult& answer = result.value();
  view.finish();
  if (flags.show_prompt) out.text("\nPrompt:\n" + answer.prompt + "\n");
  if (flags.sources) print_sources(out, answer.sources, flags.top.value_or(kTopPassages));
  out.object(ask_fields(names, question, answer, flags.show_prompt));
  remark_reply(out, "answer", answer.empty_because, answer.reasoning_finish_reason, options.chat);
  if (is_far(answer.confidence))
    out.progress().remark("[nothing in the text is close to this question; the answer may be invented]");
  const SamplingOptions& sampling = options.sampling;
  if (answer.finish_reason == "length" && sampling.max_new_tokens > 0 && !sampling.ignore_end) {
    out.progress().remark(
        fmt::format("[the answer was cut at {} tokens; -n N allows more]", format_count(sampling.max_new_tokens)));
  }
  print_cost(out, answer);
  return {};
}

}  // namespace

void add_ask(CLI::App& app, Invocation& invocation) {
  const auto flags = std::make_shared<AskFlags>();
  CLI::App* verb = add_verb(app, invocation, "ask",
                            "Answer a question from one or more contexts; the last argument is the question.\n"
                            "The passages that matter are gathered and read again by the whole model.",
                            "  reform ask bible \"Who was thrown to the lions?\" --sources\n"
                            "  reform ask alice bob --temp 0.7 -n 100 \"Where do the two accounts differ?\"",
                            [flags](Output& out) { return run_ask(*flags, out); });
  verb->add_option("NAME... QUESTION", flags->names_and_question, "Contexts, then the question")
      ->required()
      ->expected(-2);  // at least two
  add_engine_flags(*verb, flags->engine, /*model_required=*/false);
  add_store_flag(*verb, flags->store_dir);
  AskOptions& o = flags->options;
  add_chat_flags(*verb, flags->chat, flags->engine.options, o.chat);
  verb->add_option("--system", o.system, "System text, before everything else")->type_name("TEXT");
  verb->add_flag("--sources", flags->sources, "Show the passages the answer was made from, the best match first");
  add_top_flag(*verb, flags->top, "With --sources: show the N best; 5 by default, 0: all");
  verb->add_flag("--show-prompt", flags->show_prompt, "Show the prompt as the model saw it");
  add_gather_flags(*verb, o, /*for_search=*/false);
  add_number_or_auto(*verb, "--chunk-tokens", o.chunk_tokens, GatherOptions::kAuto, ranges::kReadTokens,
                     "oprm: tokens of the text that are read at a time")
      ->group("Gather");
  verb->add_flag("--all-chunks", o.all_chunks,
                 "oprm: leave out no chunk, also if the model says that it lacks the answer")
      ->group("Gather");
  add_sampling_flags(*verb, flags->sampling);
}

}  // namespace reform::tool
