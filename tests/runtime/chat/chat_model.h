// A model's file with nothing but a tokenizer and chat templates: a token for each byte, words, and special tokens.
#pragma once

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/chat/chat_template.h"
#include "runtime/model/gguf.h"
#include "runtime/tokenizer/tokenizer.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/take.h"

namespace reform::test {

using Templates = std::map<std::string, std::string>;

struct ChatModel {
  // Templates by the key's end: "" is the file's own, ".tool_use" another.
  explicit ChatModel(const Templates& templates = {}, bool add_bos = true) {
    GgufWriter w;
    std::vector<std::string> tokens, names;
    for (int byte = 0; byte < 256; ++byte) tokens.push_back(fmt::format("<0x{:02X}>", byte));
    std::vector<int32_t> kinds(tokens.size(), int32_t(TokenKind::kByte));
    for (const char* word : {"▁Hello", "▁World", "\n"})
      tokens.emplace_back(word), kinds.push_back(int32_t(TokenKind::kNormal));
    for (const char* special : {"<s>", "</s>", "<|u|>", "<|e|>", "<|a|>"})
      tokens.emplace_back(special), kinds.push_back(int32_t(TokenKind::kControl));
    tokens.emplace_back("▁"), kinds.push_back(int32_t(TokenKind::kNormal));
    w.add("tokenizer.ggml.model", "llama");
    w.add("tokenizer.ggml.tokens", tokens);
    w.add("tokenizer.ggml.token_type", kinds);
    w.add("tokenizer.ggml.scores", std::vector<float>(tokens.size(), -1.0f));
    w.add("tokenizer.ggml.bos_token_id", uint32_t(kBos));
    w.add("tokenizer.ggml.eos_token_id", uint32_t(kEos));
    w.add("tokenizer.ggml.add_bos_token", add_bos);
    w.add("tokenizer.ggml.add_space_prefix", false);
    for (const auto& [name, source] : templates) {
      w.add("tokenizer.chat_template" + name, source);
      if (!name.empty()) names.push_back(name.substr(1));
    }
    if (!names.empty()) w.add("tokenizer.chat_templates", names);
    image = std::make_unique<GgufWriter::Image>(w.image());
    gguf = take(Gguf::parse(*image, "model.gguf"));
    tokenizer = take(Tokenizer::create(*gguf));
  }

  static constexpr int32_t kHello = 256, kWorld = 257, kNewline = 258, kBos = 259, kEos = 260;

  ChatTemplate chat(const std::string& wanted = "") const {
    return take(load_chat_template(*gguf, *tokenizer, wanted));
  }

  // Ids as text: special tokens and words in brackets, so that {Hello} is one token and Hello are five.
  std::string shown(const std::vector<int32_t>& ids) const {
    std::string text;
    for (const int32_t id : ids) {
      const std::string bytes = tokenizer->token_bytes(id, true);
      text += id < kHello || bytes == " " ? bytes : "{" + bytes + "}";
    }
    return text;
  }

  std::unique_ptr<GgufWriter::Image> image;
  std::unique_ptr<Gguf> gguf;
  std::unique_ptr<Tokenizer> tokenizer;
};

}  // namespace reform::test
