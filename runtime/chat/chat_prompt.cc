#include "runtime/chat/chat_prompt.h"

#include <fmt/format.h>
#include <reform/text.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "base/try.h"
#include "runtime/chat/date.h"
#include "runtime/chat/message_text.h"
#include "runtime/jinja/globals.h"
#include "runtime/jinja/json_value.h"

namespace reform {
namespace {

using PartKind = MessagePart::Kind;
// By one of these names templates take whether their model is to reason.
constexpr const char* kThinkVariables[] = {"enable_thinking", "thinking"};
constexpr int32_t kOfOptions = -1;  // the source of what ChatOptions say

// Only words, never special tokens.
std::string valid_text(std::string_view bytes) {
  TextStream stream;
  std::string text = stream.push(bytes);
  return text + stream.finish();
}

// Whether the caller's variables already say it.
bool sets_thinking(const ChatOptions& options) {
  if (options.variables.empty()) return false;
  const auto given = jinja::value_of_json(options.variables, kOfOptions);
  if (!given.ok()) return false;
  return std::any_of(std::begin(kThinkVariables), std::end(kThinkVariables), [&](const char* name) {
    return std::any_of(given.value().dict()->items.begin(), given.value().dict()->items.end(),
                       [&](const auto& item) { return item.first.bytes() == name; });
  });
}

Result<jinja::Variables> variables_of(const ChatTemplate& chat, std::span<const MessageText> contents,
                                      std::span<const ChatMessage> messages, const ChatOptions& options) {
  std::vector<jinja::Value> list;
  for (size_t i = 0; i < messages.size(); ++i) {
    auto message = std::make_shared<jinja::Dict>();
    message->set("role", messages[i].role);
    message->set("content", jinja::Text(contents[i].bytes(), int32_t(i)));
    list.emplace_back(std::move(message));
  }
  TRY_ASSIGN(const std::tm now, chat_date(options.date));
  jinja::Variables variables = {{"messages", jinja::Value::list(std::move(list))},
                                {"tools", jinja::None{}},
                                {"documents", jinja::None{}},
                                {"add_generation_prompt", true},
                                {"strftime_now", jinja::strftime_now(now)}};
  variables.insert(variables.end(), chat.special.begin(), chat.special.end());
  if (options.think != Think::kAuto)
    for (const char* name : kThinkVariables) variables.emplace_back(name, options.think == Think::kOn);
  if (options.variables.empty()) return variables;
  TRY_ASSIGN(const jinja::Value given, jinja::value_of_json(options.variables, kOfOptions));
  for (const auto& [name, value] : given.dict()->items) {
    const std::string& key = name.bytes();
    if (key == "messages") return Status{Code::kUsage, "the template's variables cannot replace the messages"};
    std::erase_if(variables, [&](const auto& variable) { return variable.first == key; });
    variables.emplace_back(key, value);
  }
  return variables;
}

Result<jinja::Text> render(const ChatTemplate& chat, std::span<const MessageText> contents,
                           std::span<const ChatMessage> messages, const ChatOptions& options) {
  TRY_ASSIGN(const jinja::Variables variables, variables_of(chat, contents, messages, options));
  jinja::Limits limits;
  for (const MessageText& content : contents) {
    limits.bytes += 64 * int64_t(content.bytes().size());
    limits.steps += 4 * int64_t(content.bytes().size());
  }
  auto text = chat.parsed.render(variables, limits);
  if (!text.ok()) return Status{Code::kUsage, "the chat template refuses the messages: " + text.status().message};
  return text;
}

// What the caller's variables say of thinking wins. Where two renderings are compared, they must see the same clock.
ChatOptions settled(ChatOptions options) {
  if (sets_thinking(options)) options.think = Think::kAuto;
  if (options.think == Think::kAuto || !options.date.empty()) return options;
  const auto now = chat_date(options.date);
  std::array<char, 32> written{};
  if (now.ok()) std::strftime(written.data(), written.size(), "%Y-%m-%dT%H:%M:%S", &now.value());
  options.date = written.data();
  return options;
}

// Whether the template writes something else when told the opposite.
bool heeds_thinking(const ChatTemplate& chat, std::span<const MessageText> contents,
                    std::span<const ChatMessage> messages, ChatOptions options, const jinja::Text& text) {
  options.think = options.think == Think::kOn ? Think::kOff : Think::kOn;
  const auto other = render(chat, contents, messages, options);
  return !other.ok() || other.value().bytes() != text.bytes();
}

std::vector<MessageText> texts_of(const Tokenizer& tokenizer, std::span<const ChatMessage> messages) {
  std::vector<MessageText> contents;
  for (const ChatMessage& message : messages) contents.emplace_back(tokenizer, message);
  return contents;
}

// A piece of the prompt, of the template or of a message.
struct ChatPiece {
  PromptPiece what;
  bool joins = true;  // it is encoded together with text that stands before it
};

void append_template(const Tokenizer& tokenizer, std::string_view text, std::vector<ChatPiece>& pieces) {
  for (const Tokenizer::Stretch& stretch : tokenizer.cut_at_special(text)) {
    ChatPiece piece;
    if (stretch.id >= 0)
      piece.what.ids = {stretch.id};
    else
      piece.what.text = valid_text(text.substr(stretch.begin, stretch.end - stretch.begin));
    pieces.push_back(std::move(piece));
  }
}

std::vector<ChatPiece> pieces_of(const Tokenizer& tokenizer, const jinja::Text& text,
                                 std::span<const MessageText> contents) {
  std::vector<ChatPiece> pieces;
  size_t done = 0;
  const std::string_view bytes = text.bytes();
  for (const jinja::Origin& origin : text.origins()) {
    append_template(tokenizer, bytes.substr(done, origin.begin - done), pieces);
    done = origin.end;
    const size_t n = origin.end - origin.begin;
    std::vector<PromptPiece> of_message;
    if (origin.source >= 0 && !origin.is_changed) {
      contents[size_t(origin.source)].append_pieces(size_t(origin.at), size_t(origin.at) + n, of_message);
    } else {
      const PartKind kind =
          origin.source < 0 ? PartKind::kOther : contents[size_t(origin.source)].kind_at(size_t(origin.at));
      of_message.push_back({kind, valid_text(bytes.substr(origin.begin, n)), {}});
    }
    // The parts of a message are encoded each by itself; what a template made of one part is one text again.
    for (size_t i = 0; i < of_message.size(); ++i) pieces.push_back({std::move(of_message[i]), i == 0});
  }
  append_template(tokenizer, bytes.substr(done), pieces);
  return pieces;
}

class PromptEncoder {
 public:
  explicit PromptEncoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // Texts that touch are encoded together, as a tokenizer would that sees the whole, but not the parts of a message,
  // since tokens as stored lie between them.
  Result<Prompt> run(const std::vector<ChatPiece>& pieces) {
    for (size_t begin = 0; begin < pieces.size();) {
      size_t end = begin + 1;
      while (end < pieces.size() && is_text(pieces[begin]) && is_text(pieces[end]) && pieces[end].joins) ++end;
      TRY(add(std::span(pieces).subspan(begin, end - begin)));
      begin = end;
    }
    return std::move(prompt_);
  }

  void add_bos(int32_t id) {
    prompt_.ids.push_back(id);
    ++prompt_.template_tokens;
  }

 private:
  static bool is_text(const ChatPiece& piece) { return piece.what.ids.empty(); }

  // A template may print the question twice; the first place is the question's.
  void count(PartKind kind, size_t at_id) {
    if (kind == PartKind::kQuestion && prompt_.question_tokens == 0) prompt_.question_begin = int64_t(at_id);
    const bool goes_on = int64_t(at_id) == prompt_.question_begin + prompt_.question_tokens;
    ++(kind == PartKind::kQuestion && goes_on ? prompt_.question_tokens
       : kind == PartKind::kPassage           ? prompt_.passage_tokens
                                              : prompt_.template_tokens);
  }

  Status add(std::span<const ChatPiece> run) {
    if (!is_text(run[0])) {
      for (const int32_t id : run[0].what.ids) {
        count(run[0].what.kind, prompt_.ids.size());
        prompt_.ids.push_back(id);
      }
      return {};
    }
    std::string text;
    std::vector<size_t> ends;
    for (const ChatPiece& piece : run) {
      text += piece.what.text;
      ends.push_back(text.size());
    }
    // token_bytes() of a special token is empty.
    const bool at_start = prompt_.ids.empty() || tokenizer_.token_bytes(prompt_.ids.back(), false).empty();
    TRY_ASSIGN(const TokenBatch batch, tokenizer_.encode_measured(text, at_start));
    size_t end = 0, piece = 0;
    for (size_t i = 0; i < batch.ids.size(); ++i) {
      end += batch.byte_lengths[i];  // a token belongs to the piece that its last byte is of
      while (piece + 1 < run.size() && end > ends[piece]) ++piece;
      count(run[piece].what.kind, prompt_.ids.size());
      prompt_.ids.push_back(batch.ids[i]);
    }
    return {};
  }

  const Tokenizer& tokenizer_;
  Prompt prompt_;
};

bool shows(const jinja::Text& text, int32_t source) {
  return std::any_of(text.origins().begin(), text.origins().end(),
                     [&](const jinja::Origin& origin) { return origin.source == source; });
}

// The system text in front of the first turn that is not the system's.
std::vector<ChatMessage> with_system_in_turn(std::vector<ChatMessage> messages) {
  std::vector<MessagePart> parts = std::move(messages[0].parts);
  parts.push_back({PartKind::kOther, "\n\n", {}});
  messages.erase(messages.begin());
  messages[0].parts.insert(messages[0].parts.begin(), parts.begin(), parts.end());
  return messages;
}

// Opens or closes the reasoning at the prompt's end, as the options say.
void decide_reasoning(const ChatTemplate& chat, std::span<const MessageText> contents,
                      std::span<const ChatMessage> messages, const ChatOptions& options, jinja::Text& text) {
  if (chat.reasoning.empty() || options.think == Think::kAuto) return;
  set_reasoning(options.think, heeds_thinking(chat, contents, messages, options, text), chat.reasoning, text);
}

// What a message says must be in the prompt, white space apart.
Status check_shown(const Prompt& prompt, const Tokenizer& tokenizer, std::span<const MessagePart> said) {
  const auto says = [&](PartKind kind) {
    return std::any_of(said.begin(), said.end(), [&](const MessagePart& part) {
      const std::vector<int32_t> ids(part.ids.begin(), part.ids.end());
      return part.kind == kind && !is_blank(part.text + tokenizer.decode(ids, /*special=*/false, /*at_start=*/false));
    });
  };
  const bool lacks_question = prompt.question_tokens == 0 && says(PartKind::kQuestion);
  const bool lacks_passages = prompt.passage_tokens == 0 && says(PartKind::kPassage);
  if (!lacks_question && !lacks_passages) return {};
  return {Code::kUsage, fmt::format("the chat template leaves out {}; name another one with --chat-template",
                                    lacks_question ? "what the user says" : "the passages that were gathered")};
}

}  // namespace

Result<jinja::Text> render_chat(const ChatTemplate& chat, const Tokenizer& tokenizer,
                                std::span<const ChatMessage> messages, const ChatOptions& options) {
  return render(chat, texts_of(tokenizer, messages), messages, options);
}

Result<Prompt> chat_prompt(const ChatTemplate& chat, const Tokenizer& tokenizer, std::vector<ChatMessage> messages,
                           const ChatOptions& given) {
  const ChatOptions options = settled(given);
  std::vector<MessageText> contents = texts_of(tokenizer, messages);
  auto text = render(chat, contents, messages, options);
  const bool has_system = messages.size() > 1 && messages[0].role == "system";
  if (has_system && (!text.ok() || !shows(text.value(), 0))) {
    messages = with_system_in_turn(std::move(messages));
    contents = texts_of(tokenizer, messages);
    text = render(chat, contents, messages, options);
  }
  if (!text.ok()) return text.status();
  decide_reasoning(chat, contents, messages, options, text.value());
  PromptEncoder encoder(tokenizer);
  const std::vector<ChatPiece> pieces = pieces_of(tokenizer, text.value(), contents);
  const bool begins_with_bos =
      !pieces.empty() && pieces[0].what.ids.size() == 1 && pieces[0].what.ids[0] == tokenizer.bos();
  if (tokenizer.add_bos() && !begins_with_bos) encoder.add_bos(tokenizer.bos());
  TRY_ASSIGN(Prompt prompt, encoder.run(pieces));
  prompt.reasoning = reasoning_at_end(text.value(), chat.reasoning);
  TRY(check_shown(prompt, tokenizer, messages.back().parts));
  return prompt;
}

std::string thinking_problem(const ChatTemplate& chat, const Tokenizer& tokenizer, const ChatOptions& options) {
  if (options.think != Think::kOn || sets_thinking(options)) return "";
  if (chat.reasoning.empty()) {
    return "the chat template names no markers of reasoning that are known here: if the model reasons, that is part of "
           "its answer";
  }
  const std::vector<ChatMessage> question = {{"user", {{PartKind::kQuestion, "a", {}}}}};
  const auto prompt = chat_prompt(chat, tokenizer, question, options);
  if (!prompt.ok() || !prompt.value().reasoning.is_closed) return "";
  return "the chat template closes the reasoning, whatever it is told: the model will hardly reason";
}

}  // namespace reform
