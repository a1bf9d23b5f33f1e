// The chat template of a model: a Jinja text that says how messages become a prompt.
#pragma once

#include <reform/status.h>

#include <string>
#include <vector>

#include "runtime/chat/reasoning.h"
#include "runtime/jinja/template.h"

namespace reform {

class Gguf;
class Tokenizer;

struct ChatTemplate {
  std::string name;    // "default": the file's own; another name that the file gives; a built-in name; or a file's path
  std::string source;  // Jinja
  jinja::Template parsed;
  jinja::Variables special;  // bos_token, eos_token, unk_token, pad_token: those that the model has
  MarkerList reasoning;      // empty: it is not one of a model that reasons
  bool is_base = false;      // the built-in one of that name: its model was not taught to chat
};

// Of a file that has none: text, question, "Answer:", as for a model that was never taught to chat.
inline constexpr const char* kBaseTemplate = "base";

// `wanted`: a name of the file's, a built-in one, or the path of a Jinja file; "": the file's own, or kBaseTemplate if
// it has none. kUsage: there is no such template; the message lists those there are. Also if it is no Jinja that we
// know.
Result<ChatTemplate> load_chat_template(const Gguf& gguf, const Tokenizer& tokenizer, const std::string& wanted);

// The names that a file gives to its templates, "default" first. Empty: it has none.
Result<std::vector<std::string>> template_names(const Gguf& gguf);

}  // namespace reform
