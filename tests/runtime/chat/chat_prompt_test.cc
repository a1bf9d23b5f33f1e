#include "runtime/chat/chat_prompt.h"

#include "runtime/recompute/prompt.h"
#include "tests/runtime/chat/chat_model.h"

using namespace reform;
using namespace reform::test;

namespace {

using Kind = MessagePart::Kind;

const std::string kTurns =
    "{% for m in messages %}{% if m.role == 'system' %}<|a|>{{ m.content }}{% else %}<|u|>{{ m.content }}<|e|>{% endif "
    "%}"
    "{% endfor %}<|a|>";

Result<Prompt> prompt_of(const std::string& source, const std::vector<ChatMessage>& messages,
                         const ChatOptions& options = {}, bool add_bos = false) {
  const ChatModel model(Templates{{"", source}}, add_bos);
  return chat_prompt(model.chat(), *model.tokenizer, messages, options);
}

std::string shown(const std::string& source, const std::vector<ChatMessage>& messages, const ChatOptions& options = {},
                  bool add_bos = false) {
  const auto prompt = prompt_of(source, messages, options, add_bos);
  return prompt.ok() ? ChatModel().shown(prompt.value().ids) : prompt.status().message;
}

std::vector<ChatMessage> user(const std::string& text) { return {{"user", {{Kind::kQuestion, text, {}}}}}; }

}  // namespace

TEST_CASE("chat prompt: only the template's own text becomes special tokens", "[runtime][chat]") {
  CHECK(shown(kTurns, user("a<|e|><s>")) == "{<|u|>}a<|e|><s>{<|e|>}{<|a|>}");
  CHECK(shown("{{ messages[0].content|trim|replace('x', '<|e|>') }}", user(" <|u|>x")) == "<|u|>{<|e|>}");
  CHECK(shown("{{ messages[0].content|upper }}{{ eos_token }}", user("</s>")) == "</S>{</s>}");
  CHECK(shown("{{ messages[0].content[:1] + '|e|>' }}", user("<|e|>")) == "<|e|>");
  CHECK(shown("{{ messages[0]|tojson }}", user("<|e|>\n")) == R"({"role": "user", "content": "<|e|>\n"})");
  CHECK(shown("{{ messages[0].content }}{{ x }}{{ y }}", user("q"), {R"({"x": "<|e|>", "y": null})", ""}) ==
        "q<|e|>None");
}

TEST_CASE("chat prompt: stored tokens stay as they are, but for those that the template cuts", "[runtime][chat]") {
  const std::vector<int32_t> ids = {ChatModel::kHello, ChatModel::kWorld, ChatModel::kNewline};
  const std::vector<ChatMessage> messages = {
      {"user", {{Kind::kOther, "[f]", {}}, {Kind::kPassage, "", ids}, {Kind::kQuestion, "who?", {}}}}};
  CHECK(shown(kTurns, messages) == "{<|u|>}[f]{ Hello}{ World}{\n}who?{<|e|>}{<|a|>}");
  const std::vector<ChatMessage> only = {{"user", {{Kind::kPassage, "", ids}}}};
  CHECK(shown("<|u|>{{ messages[0].content|trim }}<|e|>", only) == "{<|u|>}Hello{ World}{<|e|>}");
  CHECK(shown("{{ messages[0].content.split(' ')[1] }}", only) == "Hello");
  CHECK(shown("{{ messages[0].content|lower }}", only) == " hello world{\n}");
  CHECK(shown("{{ messages[0].content * 2 }}", only) == "{ Hello}{ World}{\n}{ Hello}{ World}{\n}");
}

TEST_CASE("chat prompt: tokens are counted by what they are", "[runtime][chat]") {
  const std::vector<int32_t> ids = {ChatModel::kHello, ChatModel::kWorld};
  const ChatModel model(Templates{{"", "Q: " + kTurns}});
  const std::vector<Passage> passages = {{"[f]\n", false, ids}};
  const Prompt prompt =
      take(assemble_prompt(*model.tokenizer, model.chat(), {"Be brief.", "Say so."}, passages, "who?"));
  CHECK(model.shown(prompt.ids) ==
        "{<s>}Q: {<|a|>}Be brief.{<|u|>}[f]{\n}{ Hello}{ World}{\n}{\n}who?{\n}Say so.{<|e|>}{<|a|>}");
  CHECK(prompt.passage_tokens == 2);
  CHECK(prompt.question_tokens == 4);
  CHECK(prompt.question_begin == 23);
  CHECK(prompt.template_tokens + 6 == int64_t(prompt.ids.size()));
}

TEST_CASE("chat prompt: the model's BOS stands there once", "[runtime][chat]") {
  CHECK(shown(kTurns, user("q"), {}, true) == "{<s>}{<|u|>}q{<|e|>}{<|a|>}");
  CHECK(shown("{{ bos_token }}" + kTurns, user("q"), {}, true) == "{<s>}{<|u|>}q{<|e|>}{<|a|>}");
  CHECK(shown("{{ bos_token }}" + kTurns, user("q")) == "{<s>}{<|u|>}q{<|e|>}{<|a|>}");
}

TEST_CASE("chat prompt: where a template knows no system turn, the text begins the user's", "[runtime][chat]") {
  std::vector<ChatMessage> messages = user("q");
  messages.insert(messages.begin(), {"system", {{Kind::kOther, "s", {}}}});
  CHECK(shown(kTurns, messages) == "{<|a|>}s{<|u|>}q{<|e|>}{<|a|>}");
  const std::string refuses = "{{ raise_exception('no system') if messages[0].role == 'system' }}" + kTurns;
  CHECK(shown(refuses, messages) == "{<|u|>}s{\n}{\n}q{<|e|>}{<|a|>}");
  CHECK(shown("<|u|>{{ messages[-1].content }}", messages) == "{<|u|>}s{\n}{\n}q");
}

TEST_CASE("chat prompt: a template that fails or drops what is said is refused with its words", "[runtime][chat]") {
  CHECK(shown("{{ raise_exception('No.') }}", user("q")) == "the chat template refuses the messages: No.");
  CHECK(shown("<|u|>", user("q")) ==
        "the chat template leaves out what the user says; name another one with --chat-template");
  const std::vector<int32_t> hello = {ChatModel::kHello}, blank = {ChatModel::kNewline};
  const auto with_passage = [](std::span<const int32_t> ids) {
    return std::vector<ChatMessage>{{"user", {{Kind::kPassage, "", ids}, {Kind::kQuestion, "q", {}}}}};
  };
  CHECK(shown("{{ messages[0].content[-1] }}", with_passage(hello)) ==
        "the chat template leaves out the passages that were gathered; name another one with --chat-template");
  CHECK(shown("{{ messages[0].content|trim }}", with_passage(blank)) == "q");
  CHECK(prompt_of(kTurns, user("q"), {R"({"messages": []})", ""}).status().code == Code::kUsage);
}

TEST_CASE("chat prompt: variables and the date are the caller's", "[runtime][chat]") {
  const std::string source =
      "{{ messages[0].content }} {{ strftime_now('%d %b %Y %H:%M') }} {{ tools is none }} {{ deep }}";
  CHECK(shown(source, user("q"), {R"({"deep": {"a": [1]}})", "2026-03-07T09:05"}) ==
        "q 07 Mar 2026 09:05 True {'a': [1]}");
  CHECK(shown(source, user("q"), {"", "2024-02-29"}) == "q 29 Feb 2024 00:00 True ");
  for (const char* date :
       {"2023-02-29", "2026-13-01", "26-03-07", "2026-03-07T25:00", "2026-03-07 ", "2026- 3- 7", "2026-3-7", "today"})
    CHECK(ChatOptions{"", date}.validate().code == Code::kUsage);
  for (const char* variables : {"[1]", "{", "1", "{\"a\": 1e999}"})
    CHECK_FALSE(ChatOptions{variables, ""}.validate().ok());
}
