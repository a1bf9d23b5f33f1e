// Chat templates, recognised from the GGUF's Jinja text by their markers (we run no Jinja).
#pragma once

#include <reform/status.h>

#include <string>

namespace reform {

class Gguf;

// The pieces round one user turn. Only these pieces are encoded with special tokens; text of a user or a document never
// is.
struct ChatTemplate {
  std::string name;                      // chatml, llama3, gemma, mistral
  std::string system_begin, system_end;  // round the system text
  std::string default_system;            // used when the caller gives none; "" if the model's template has none
  bool system_in_user = false;           // gemma, mistral: the system text and its pieces begin the user's turn
  std::string user_begin, user_end;
  std::string assistant_begin;
};

// If `name` is "", the file's Jinja text is recognised. kUsage: the template is unknown; the message lists the known
// ones and says how to name one.
Result<ChatTemplate> chat_template(const Gguf& gguf, const std::string& name);

}  // namespace reform
