#include "runtime/model/chat_template.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/try.h"
#include "runtime/model/gguf.h"

namespace reform {
namespace {

// The text of a Jinja string literal, with its escapes resolved.
std::string unescape(std::string_view body) {
  std::string text;
  for (size_t i = 0; i < body.size(); ++i) {
    if (body[i] != '\\' || i + 1 == body.size()) {
      text += body[i];
      continue;
    }
    const char c = body[++i];
    text += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
  }
  return text;
}

// Adds the string literals of the expression or statement `block`.
void add_literals(std::string_view block, std::vector<std::string>& pieces) {
  for (size_t pos = 0; (pos = block.find_first_of("'\"", pos)) < block.size();) {
    size_t end = pos + 1;
    while (end < block.size() && block[end] != block[pos]) end += block[end] == '\\' ? 2 : 1;
    if (end >= block.size()) return;
    pieces.push_back(unescape(block.substr(pos + 1, end - pos - 1)));
    pos = end + 1;
  }
}

// Everything the template can print that does not come from a message, in the template's order: the text outside of its
// expressions and statements, and the string literals inside them.
std::vector<std::string> printable_pieces(std::string_view jinja) {
  std::vector<std::string> pieces;
  for (size_t pos = 0; pos < jinja.size();) {
    size_t open = pos;
    while ((open = jinja.find('{', open)) < jinja.size() && jinja.substr(open + 1, 1).find_first_of("{%#") != 0) ++open;
    if (open == std::string_view::npos) open = jinja.size();
    if (open > pos) pieces.emplace_back(jinja.substr(pos, open - pos));
    if (open == jinja.size()) break;
    const std::string_view closer = jinja[open + 1] == '{' ? "}}" : jinja[open + 1] == '%' ? "%}" : "#}";
    const size_t close = std::min(jinja.find(closer, open + 2), jinja.size());
    if (closer != "#}") add_literals(jinja.substr(open + 2, close - open - 2), pieces);
    pos = std::min(close + 2, jinja.size());
  }
  return pieces;
}

// The first piece that holds `marker`; `otherwise` if none does.
std::string piece_with(const std::vector<std::string>& pieces, std::string_view marker, std::string_view otherwise) {
  for (const std::string& piece : pieces)
    if (piece.find(marker) != std::string::npos) return piece;
  return std::string(otherwise);
}

// The text between `begin` and `end` in one piece: the template's own system text.
std::string default_system_between(const std::vector<std::string>& pieces, const std::string& begin,
                                   const std::string& end) {
  for (const std::string& piece : pieces) {
    size_t from = piece.find(begin);
    if (from == std::string::npos) continue;
    from += begin.size();
    const size_t to = piece.find(end, from);
    if (to != std::string::npos && to > from) return piece.substr(from, to - from);
  }
  return "";
}

ChatTemplate make_chatml(const std::vector<std::string>& pieces) {
  ChatTemplate t;
  t.system_begin = "<|im_start|>system\n";
  t.user_begin = "<|im_start|>user\n";
  t.system_end = t.user_end = "<|im_end|>\n";
  t.assistant_begin = "<|im_start|>assistant\n";
  t.default_system = default_system_between(pieces, t.system_begin, "<|im_end|>");
  return t;
}

// Llama 3.1 and later begin every system turn with two dates. Without a system text, the turn has only the dates.
std::string llama3_dates(const std::vector<std::string>& pieces) {
  const std::string knowledge = piece_with(pieces, "Cutting Knowledge Date: ", "");
  if (knowledge.empty()) return "";
  const std::string today = piece_with(pieces, "Today Date: ", "Today Date: ");
  // The template's default date is the only piece of the form "26 Jul 2024".
  for (const std::string& piece : pieces)
    if (piece.size() == 11 && piece[2] == ' ' && piece[6] == ' ' &&
        piece.find_first_not_of("0123456789", 7) == piece.npos)
      return knowledge + today + piece + "\n\n";
  return knowledge;
}

ChatTemplate make_llama3(const std::vector<std::string>& pieces) {
  ChatTemplate t;
  t.system_begin = "<|start_header_id|>system<|end_header_id|>\n\n";
  t.user_begin = "<|start_header_id|>user<|end_header_id|>\n\n";
  t.system_end = t.user_end = "<|eot_id|>";
  t.assistant_begin = "<|start_header_id|>assistant<|end_header_id|>\n\n";
  t.default_system = default_system_between(pieces, t.system_begin, "<|eot_id|>");
  if (t.default_system.empty()) t.default_system = llama3_dates(pieces);
  return t;
}

ChatTemplate make_gemma(const std::vector<std::string>&) {
  ChatTemplate t;
  t.system_end = "\n\n";
  t.system_in_user = true;
  t.user_begin = "<start_of_turn>user\n";
  t.user_end = "<end_of_turn>\n";
  t.assistant_begin = "<start_of_turn>model\n";
  return t;
}

// Mistral's versions differ in the spaces round the brackets, so the brackets are taken from the template. Llama 2 has
// the same form, with <<SYS>> round the system text.
ChatTemplate make_mistral(const std::vector<std::string>& pieces) {
  ChatTemplate t;
  t.user_begin = piece_with(pieces, "[INST]", "[INST] ");
  if (t.user_begin.rfind("<s>", 0) == 0) t.user_begin.erase(0, 3);  // assemble_prompt() adds BOS
  t.user_end = piece_with(pieces, "[/INST]", " [/INST]");
  t.system_begin = piece_with(pieces, "[SYSTEM_PROMPT]", "");
  if (!t.system_begin.empty()) {
    t.system_end = piece_with(pieces, "[/SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]");
    return t;
  }
  t.system_in_user = true;
  t.system_begin = piece_with(pieces, "<<SYS>>", "");
  t.system_end = t.system_begin.empty() ? "\n\n" : piece_with(pieces, "<</SYS>>", "\n<</SYS>>\n\n");
  return t;
}

struct Family {
  const char* name;
  const char* marker;  // found in every template of this family and in no other
  ChatTemplate (*make)(const std::vector<std::string>& pieces);
};
constexpr Family kFamilies[] = {{"chatml", "<|im_start|>", make_chatml},
                                {"llama3", "<|start_header_id|>", make_llama3},
                                {"gemma", "<start_of_turn>", make_gemma},
                                {"mistral", "[INST]", make_mistral}};

std::string known_names() {
  std::string names;
  for (const Family& family : kFamilies) names += std::string(names.empty() ? "" : ", ") + family.name;
  return names;
}

}  // namespace

Result<ChatTemplate> chat_template(const Gguf& gguf, const std::string& name) {
  TRY_ASSIGN(const auto stored, gguf.get_string("tokenizer.chat_template"));
  const std::string_view jinja = stored.value_or("");
  for (const Family& family : kFamilies) {
    const bool in_file = jinja.find(family.marker) != std::string_view::npos;
    if (name.empty() ? !in_file : name != family.name) continue;
    // The details come from the file's template if it is of this family. Otherwise the family's usual ones are used.
    ChatTemplate t = family.make(in_file ? printable_pieces(jinja) : std::vector<std::string>{});
    t.name = family.name;
    return t;
  }
  if (!name.empty()) return Status{Code::kUsage, "unknown chat template '" + name + "'; known: " + known_names()};
  return Status{Code::kUsage, gguf.path() +
                                  (stored ? ": the model's chat template is of a kind that reform does not know"
                                          : ": the model has no chat template (is it a base model?)") +
                                  "; name one with --chat-template (" + known_names() +
                                  "), or give the model a raw prompt with `reform generate`"};
}

}  // namespace reform
