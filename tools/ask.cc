// reform ask: answers a question from one or more contexts.
#include <fmt/format.h>
#include <reform/ask.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>

#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/json_output.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace reform::tool {
namespace {

struct AskFlags {
  EngineFlags engine;
  std::string store_dir;
  std::vector<std::string> names_and_question;
  SamplingFlags sampling;
  AskOptions options;
  bool sources = false, show_prompt = false;
};

// A match is shown whole unless it is very long, as the answer may be anywhere in it. The edges are the same for every
// question, so they are shown shortened.
constexpr int kMatchChars = 1000, kEdgeChars = 160;

// Several names of which one is missing are usually a question without quotes.
Status with_quotes_advice(const Status& status, const std::vector<std::string>& names) {
  if (status.code != Code::kNotFound || names.size() < 2) return status;
  return {Code::kNotFound, status.message + "; the last argument is the question, in quotes"};
}

// The path from --model, or else the path of the model that made the first context. Contexts that cannot be asked are
// refused here, before anyone waits for a model to load.
Result<std::string> find_model(Store& store, const std::vector<std::string>& names, const std::string& given) {
  std::string path = given;
  for (const std::string& name : names) {
    const Result<ContextInfo> found = store.find(name);
    if (!found.ok()) return with_quotes_advice(found.status(), names);
    const ContextInfo& context = found.value();
    if (context.state == "damaged")
      return Status{Code::kCorrupt, fmt::format("context '{}' is damaged: {}", name, context.problem)};
    if (context.state == "busy")
      return Status{Code::kBusy,
                    fmt::format("context '{}' is being written by another process; ask when it is done", name)};
    if (!path.empty()) continue;
    if (context.model_path.empty())
      return Status{
          Code::kNotFound,
          fmt::format("context '{}' was imported without its model, {} (fingerprint {}); say where that is with "
                      "--model FILE",
                      name, context.model_name, context.model_fingerprint)};
    std::error_code error;
    if (!context.model_path.starts_with(kSyntheticModel) && !std::filesystem::exists(context.model_path, error))
      return Status{Code::kNotFound,
                    fmt::format("the model of context '{}' is no longer at {}; say with --model FILE where it is", name,
                                context.model_path)};
    path = context.model_path;
  }
  return path;
}

void print_sources(Output& out, const std::vector<Source>& sources) {
  double best = -1;
  for (const Source& s : sources) best = std::max(best, s.edge ? -1.0 : double(s.score));
  out.text("\nSources:\n");
  for (const Source& s : sources) {
    const std::string kind =
        s.edge ? "edge" : fmt::format("score {:.3f}{}", s.score, double(s.score) == best ? ", the best" : "");
    out.text(fmt::format("  [{}] {} bytes {}-{} ({})\n    {}\n", printable(s.context, false), printable(s.file, false),
                         s.begin_byte, s.end_byte, kind, quote(s.text, s.edge ? kEdgeChars : kMatchChars)));
  }
}

void print_cost(Output& out, const AskResult& r) {
  const Timings& t = r.timings;
  std::string decode;
  if (t.predicted_ms > 0) decode = fmt::format(" at {:.1f} tokens/s", double(t.predicted_n) * 1000 / t.predicted_ms);
  out.progress().remark(fmt::format("[{} tokens recomputed, {} generated{}; {} in all, peak memory {}]",
                                    format_count(t.prompt_n), format_count(t.predicted_n), decode,
                                    format_duration(t.total_ms / 1000), format_bytes(r.memory.peak_host_bytes)));
}

Status run_ask(const AskFlags& flags, Output& out) {
  std::vector<std::string> names = flags.names_and_question;
  const std::string question = names.back();
  names.pop_back();
  AskOptions options = flags.options;
  options.sampling = sampling_options(flags.sampling);
  if (Status s = options.validate(); !s.ok()) return s;

  auto store = open_existing(flags.store_dir, names);
  if (!store.ok()) return with_quotes_advice(store.status(), names);
  const Result<std::string> model = find_model(*store.value(), names, flags.engine.model);
  if (!model.ok()) return model.status();
  out.progress().phase("loading the model");
  auto engine = Engine::open(model.value(), flags.engine.options, out.log());
  if (!engine.ok()) return engine.status();

  const CancelScope scope;
  AskCallbacks callbacks;
  callbacks.on_phase = [&](const std::string& phase) { out.progress().phase(phase); };
  callbacks.on_text = [&](const std::string& piece) { return out.text(piece); };
  auto result = ask(*engine.value(), *store.value(), names, question, options, callbacks, &scope.token());
  if (!result.ok()) {
    if (result.status().code == Code::kCancelled) {
      out.text("\n");
      return {Code::kCancelled, "stopped; the answer is not complete, and the context is as it was"};
    }
    return result.status();
  }
  const AskResult& answer = result.value();
  out.text("\n");
  if (flags.show_prompt) out.text("\nPrompt:\n" + answer.prompt + "\n");
  if (flags.sources) print_sources(out, answer.sources);
  out.object(ask_fields(names, question, answer, flags.show_prompt));
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
  verb->add_option("--chat-template", flags->engine.options.chat_template,
                   "chatml, llama3, gemma or mistral, where the model's own is not recognised")
      ->type_name("NAME");
  verb->add_option("--system", o.system, "System text, before everything else")->type_name("TEXT");
  verb->add_flag("--sources", flags->sources, "Show the passages the answer was made from");
  verb->add_flag("--show-prompt", flags->show_prompt, "Show the prompt as the model saw it");
  const auto add = [&](const char* name, int64_t& value, const char* help) {
    verb->add_option(name, value, help)->type_name("N")->capture_default_str()->group("Gather");
  };
  add("--gather-tokens", o.gather_tokens, "Tokens chosen by score");
  add("--edge-tokens", o.edge_tokens, "First and last tokens of the text, on top of those");
  add("--pool-window", o.pool_window, "Window of the scores' maximum; odd");
  add_sampling_flags(*verb, flags->sampling);
}

}  // namespace reform::tool
