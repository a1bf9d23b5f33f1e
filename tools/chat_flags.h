// Flags of verbs that put messages into the model's chat template.
#pragma once

#include <reform/chat.h>
#include <reform/engine.h>

#include <CLI/CLI.hpp>

#include "tools/output.h"

namespace reform::tool {

struct ChatFlags {
  CLI::Option* chat_template = nullptr;
  CLI::Option* kwargs = nullptr;
  CLI::Option* date = nullptr;
  CLI::Option* show = nullptr;
  CLI::Option* think = nullptr;
  CLI::Option* think_tokens = nullptr;
  bool show_template = false;

  // The name of the first of them that was given; nullptr: none was.
  const char* given() const;
};
void add_chat_flags(CLI::App& verb, ChatFlags& flags, EngineOptions& engine, ChatOptions& options);

// Prints the template in use; --show-template then ends the verb.
Status show_template(const Engine& engine, Output& out);

}  // namespace reform::tool
