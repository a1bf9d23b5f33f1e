#include "runtime/chat/chat_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/small_file.h"
#include "base/try.h"
#include "runtime/chat/built_in.h"
#include "runtime/model/gguf.h"
#include "runtime/tokenizer/tokenizer.h"
#include "runtime/tokenizer/unicode.h"

namespace reform {
namespace {

constexpr const char* kKey = "tokenizer.chat_template";
constexpr const char* kDefault = "default";

Result<jinja::Variables> special_tokens(const Gguf& gguf, const Tokenizer& tokenizer) {
  constexpr struct {
    const char *variable, *key;
  } kTokens[] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                 {"eos_token", "tokenizer.ggml.eos_token_id"},
                 {"unk_token", "tokenizer.ggml.unknown_token_id"},
                 {"pad_token", "tokenizer.ggml.padding_token_id"}};
  jinja::Variables variables;
  for (const auto& token : kTokens) {
    TRY_ASSIGN(const auto id, gguf.get_int(token.key));
    if (!id || *id < 0 || *id >= tokenizer.n_vocab()) continue;
    const std::string text = tokenizer.token_bytes(int32_t(*id), /*special=*/true);
    if (!text.empty()) variables.emplace_back(token.variable, jinja::Value(text));
  }
  return variables;
}

// The file's template of that name.
Result<std::string> stored_source(const Gguf& gguf, const std::string& name) {
  TRY_ASSIGN(const auto own, gguf.get_string(kKey));
  if (name == kDefault && own && !own->empty()) return std::string(*own);
  TRY_ASSIGN(const auto source, gguf.get_string(std::string(kKey) + "." + name));
  return std::string(source.value_or(""));
}

constexpr int64_t kMostTemplateBytes = 1 << 20;

Result<ChatTemplate> make(std::string name, std::string source, const std::string& where) {
  if (int64_t(source.size()) > kMostTemplateBytes)
    return Status{Code::kUsage,
                  where + ": the chat template is larger than 1 MiB; name another one with --chat-template"};
  auto parsed = jinja::Template::parse(source);
  if (!parsed.ok()) {
    return Status{Code::kUsage, where + ": the chat template cannot be read: " + parsed.status().message +
                                    "; name another one with --chat-template"};
  }
  MarkerList reasoning = find_reasoning_markers(source);
  return ChatTemplate{std::move(name), std::move(source), std::move(parsed).value(), {}, std::move(reasoning), false};
}

Result<ChatTemplate> built_in(const BuiltInTemplate& one) {
  TRY_ASSIGN(ChatTemplate chat, make(std::string(one.name), std::string(one.source), std::string(one.name)));
  chat.is_base = one.name == kBaseTemplate;
  return chat;
}

Result<ChatTemplate> named(const Gguf& gguf, const std::string& wanted) {
  TRY_ASSIGN(const std::vector<std::string> names, template_names(gguf));
  if (std::find(names.begin(), names.end(), wanted) != names.end()) {
    TRY_ASSIGN(std::string source, stored_source(gguf, wanted));
    return make(wanted, std::move(source), gguf.path());
  }
  std::vector<std::string> ours;
  for (const BuiltInTemplate& one : built_in_templates()) {
    if (one.name == wanted) return built_in(one);
    ours.emplace_back(one.name);
  }
  std::error_code error;
  if (wanted.find('/') != wanted.npos || std::filesystem::exists(wanted, error)) {
    TRY_ASSIGN(std::string source, read_small_file(wanted, kMostTemplateBytes));
    TRY(check_utf8("the chat template " + wanted, source));
    if (source.starts_with("\xef\xbb\xbf")) source.erase(0, 3);
    return make(wanted, std::move(source), wanted);
  }
  const std::string own = names.empty() ? "" : fmt::format(", and this model's own {}", fmt::join(names, ", "));
  return Status{Code::kUsage, fmt::format("there is no chat template '{}': it is no file, and the names are {}{}",
                                          wanted, fmt::join(ours, ", "), own)};
}

Result<ChatTemplate> chosen(const Gguf& gguf, const std::string& wanted) {
  if (!wanted.empty()) return named(gguf, wanted);
  TRY_ASSIGN(const std::vector<std::string> names, template_names(gguf));
  return named(gguf, names.empty() ? kBaseTemplate : names[0]);
}

}  // namespace

Result<std::vector<std::string>> template_names(const Gguf& gguf) {
  std::vector<std::string> names;
  TRY_ASSIGN(const std::string own, stored_source(gguf, kDefault));
  if (!own.empty()) names.emplace_back(kDefault);
  TRY_ASSIGN(const auto others, gguf.get_strings("tokenizer.chat_templates"));
  for (const std::string_view name : others.value_or(std::vector<std::string_view>())) {
    if (name == kDefault) continue;
    TRY_ASSIGN(const std::string source, stored_source(gguf, std::string(name)));
    if (!source.empty()) names.emplace_back(name);
  }
  return names;
}

Result<ChatTemplate> load_chat_template(const Gguf& gguf, const Tokenizer& tokenizer, const std::string& wanted) {
  TRY_ASSIGN(ChatTemplate chat, chosen(gguf, wanted));
  TRY_ASSIGN(chat.special, special_tokens(gguf, tokenizer));
  return chat;
}

}  // namespace reform
