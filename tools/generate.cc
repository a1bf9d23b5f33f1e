// reform generate: the plain model without a context.
#include <fmt/format.h>
#include <reform/generate.h>
#include <reform/text.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "tools/chat_flags.h"
#include "tools/flags.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/json_output.h"
#include "tools/open_engine.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/reply.h"
#include "tools/text.h"
#include "tools/verbs.h"

namespace reform::tool {
namespace {

struct GenerateFlags {
  EngineFlags engine;
  std::string prompt, file, encoding;
  SamplingFlags sampling;
  ChatFlags chat;
  GenerateOptions options;
  bool show_prompt = false;
};

void print_cost(Output& out, const GenerateResult& r) {
  const Timings& t = r.timings;
  const auto rate = [](int64_t n, double ms) { return ms > 0 ? double(n) * 1000 / ms : 0.0; };
  out.progress().remark(fmt::format("[prompt: {} tokens at {:.1f}/s; generated: {} at {:.1f}/s; peak memory {}]",
                                    format_count(t.prompt_n), rate(t.prompt_n, t.prompt_ms),
                                    format_count(t.predicted_n), rate(t.predicted_n, t.predicted_ms),
                                    format_bytes(r.memory.peak_host_bytes)));
}

Status run_generate(const GenerateFlags& flags, Output& out) {
  GenerateOptions options = flags.options;
  options.sampling = sampling_options(flags.sampling);
  if (!options.system.empty() && !options.chat) return {Code::kUsage, "--system needs --chat"};
  if (const char* given = flags.chat.given(); given != nullptr && !options.chat)
    return {Code::kUsage, fmt::format("--{} needs --chat", given)};
  if (Status s = options.sampling.validate(); !s.ok()) return s;
  if (Status s = options.chat_options.validate(); !s.ok()) return s;
  if (Status s = check_encoding(flags.encoding); !s.ok()) return s;
  const CancelScope scope;
  const Result<std::string> prompt =
      flags.file.empty() ? flags.prompt : read_text(flags.file, kMostPromptBytes, flags.encoding, scope.token());
  if (!prompt.ok()) return prompt.status();

  out.progress().phase("loading the model");
  auto engine = open_engine(flags.engine.model, flags.engine.options, out);
  if (!engine.ok()) return engine.status();
  if (flags.chat.show_template) return show_template(*engine.value(), out);
  out.progress().phase("reading the prompt");
  ReplyView view(out);
  auto result = generate(*engine.value(), prompt.value(), options, view.callbacks(), &scope.token());
  if (!result.ok()) {
    if (result.status().code == Code::kCancelled) {
      view.finish();
      return {Code::kCancelled, "stopped; the text is not complete"};
    }
    return result.status();
  }
  view.finish();
  if (flags.show_prompt) out.text("\nPrompt:\n" + result.value().prompt + "\n");
  out.object(generate_fields(engine.value()->model(), result.value(), flags.show_prompt));
  remark_reply(out, "text", result.value().empty_because, result.value().reasoning_finish_reason, options.chat_options);
  print_cost(out, result.value());
  return {};
}

}  // namespace

void add_generate(CLI::App& app, Invocation& invocation) {
  const auto flags = std::make_shared<GenerateFlags>();
  CLI::App* verb = add_verb(app, invocation, "generate",
                            "Continue a prompt with the plain model, without a context.\n"
                            "Special tokens in the prompt are understood; --chat applies the model's template.",
                            "  reform generate --model qwen.gguf -n 32 \"def fibonacci(n):\"\n"
                            "  reform generate --model qwen.gguf --chat \"Name three rivers.\"",
                            [flags](Output& out) { return run_generate(*flags, out); });
  CLI::Option* prompt = verb->add_option("PROMPT", flags->prompt, "The prompt");
  CLI::Option* file =
      verb->add_option("-f,--file", flags->file, "Read the prompt from this file")->type_name("FILE")->excludes(prompt);
  verb->add_option("--encoding", flags->encoding, "That file's encoding, a name of `iconv -l`")
      ->type_name("NAME")
      ->default_str("UTF-8")
      ->needs(file);
  verb->final_callback([prompt, file, flags] {
    if (prompt->empty() && file->empty() && !flags->chat.show_template) throw CLI::RequiredError("PROMPT or --file");
  });
  add_engine_flags(*verb, flags->engine, /*model_required=*/true);
  verb->add_flag("--chat", flags->options.chat, "The prompt is one user turn in the model's chat template");
  add_chat_flags(*verb, flags->chat, flags->engine.options, flags->options.chat_options);
  verb->add_option("--system", flags->options.system, "System text; with --chat")->type_name("TEXT");
  verb->add_flag("--show-prompt", flags->show_prompt, "Show the prompt as the model saw it");
  add_sampling_flags(*verb, flags->sampling);
}

}  // namespace reform::tool
