#include "tools/chat_flags.h"

#include <reform/ranges.h>

#include <map>

#include "tools/json_output.h"
#include "tools/numbers.h"
#include "tools/progress.h"

namespace reform::tool {

namespace {

void add_think_flags(CLI::App& verb, ChatFlags& flags, ChatOptions& options) {
  const char* group = "Reasoning";
  const auto set = [&options](const std::string& word) {
    static const std::map<std::string, Think> kWords = {
        {"auto", Think::kAuto}, {"on", Think::kOn}, {"off", Think::kOff}};
    const auto found = kWords.find(word);
    if (found == kWords.end()) throw CLI::ValidationError("--think", "is '" + word + "'; expected on, off or auto");
    options.think = found->second;
  };
  flags.think = verb.add_option_function<std::string>(
                        "--think", set,
                        "Whether a model that can reasons before it answers: on, off, or auto, as its template has it")
                    ->type_name("WHEN")
                    ->default_str("auto")
                    ->group(group);
  flags.think_tokens =
      add_number_or_auto(verb, "--think-tokens", options.think_tokens, ChatOptions::kAuto, ranges::kThinkTokens,
                         "Tokens of reasoning at most; then the answer begins (-n counts the answer)")
          ->group(group);
}

}  // namespace

const char* ChatFlags::given() const {
  for (const CLI::Option* option : {chat_template, kwargs, date, show, think, think_tokens})
    if (option != nullptr && !option->empty()) return option->get_lnames()[0].c_str();
  return nullptr;
}

void add_chat_flags(CLI::App& verb, ChatFlags& flags, EngineOptions& engine, ChatOptions& options) {
  flags.chat_template =
      verb.add_option("--chat-template", engine.chat_template,
                      "Instead of the model's own: a Jinja file, another template in the model's file by its "
                      "name, or chatml, llama3, gemma, mistral or base")
          ->type_name("TEMPLATE")
          ->group("Chat template");
  flags.kwargs = verb.add_option("--chat-template-kwargs", options.variables,
                                 "More variables for it, as '{\"enable_thinking\": false}'")
                     ->type_name("JSON")
                     ->group("Chat template");
  flags.date =
      verb.add_option("--chat-date", options.date, "What it takes for today, as 2026-03-07; by default the clock's")
          ->type_name("DATE")
          ->group("Chat template");
  flags.show = verb.add_flag("--show-template", flags.show_template, "Print it, and end")->group("Chat template");
  add_think_flags(verb, flags, options);
}

Status show_template(const Engine& engine, Output& out) {
  const auto chat = engine.chat_template();
  if (!chat.ok()) return chat.status();
  out.text(chat.value().source + "\n");
  out.progress().remark("[the chat template " + chat.value().name + "]");
  out.object({{"chat_template", {{"name", chat.value().name}, {"source", chat.value().source}}}});
  return {};
}

}  // namespace reform::tool
