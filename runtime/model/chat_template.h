// Chat templates, recognised from the GGUF's Jinja text by their markers (we run no Jinja).
#pragma once

#include <reform/status.h>

#include <string>

namespace reform {

class Gguf;

// The pieces round one user turn; they are encoded with special tokens, what the user or a document says never is.
struct ChatTemplate {
  std::string name;                      // chatml, llama3, gemma, mistral
  std::string system_begin, system_end;  // round the system text
  std::string default_system;            // used when none is given and the model's template has one; "" for none
  bool system_in_user = false;           // gemma, mistral: the system text and its pieces head the user's turn
  std::string user_begin, user_end;
  std::string assistant_begin;
};

// name: "" recognises; an unknown template is kUsage saying which are known and how to name one.
Result<ChatTemplate> chat_template(const Gguf& gguf, const std::string& name);

}  // namespace reform
