#include "runtime/chat/reasoning.h"

#include "runtime/chat/chat_prompt.h"
#include "tests/runtime/chat/chat_model.h"

using namespace reform;
using namespace reform::test;

namespace {

const MarkerList kThink = find_reasoning_markers("</think>");

ReasoningState begun(bool is_open) { return {false, is_open ? kThink[0] : nullptr}; }

// "reasoning|answer", however the reply is cut into pieces of n bytes.
std::string split(const std::string& reply, bool is_open, size_t n) {
  ReasoningSplitter splitter(kThink, begun(is_open));
  ReasoningSplitter::Parts all;
  const auto add = [&](const ReasoningSplitter::Parts& parts) {
    all.reasoning += parts.reasoning;
    all.answer += parts.answer;
  };
  for (size_t i = 0; i < reply.size(); i += n) add(splitter.push(std::string_view(reply).substr(i, n)));
  add(splitter.finish());
  return all.reasoning + "|" + all.answer;
}

std::string prompt_of(const std::string& tail, Think think, const std::string& variables = "") {
  const ChatModel model(Templates{{"", "{{ messages[0].content }}" + tail + "{# <think> #}"}}, /*add_bos=*/false);
  ChatOptions options;
  options.think = think, options.variables = variables;
  const std::vector<ChatMessage> asked = {{"user", {{MessagePart::Kind::kQuestion, "<think>", {}}}}};
  const Prompt prompt = take(chat_prompt(model.chat(), *model.tokenizer, asked, options));
  return model.tokenizer->decode(prompt.ids, true, true) + (prompt.reasoning.open != nullptr ? "(open)" : "");
}

}  // namespace

TEST_CASE("reasoning: a template's source tells which markers its model writes", "[runtime][chat]") {
  CHECK(find_reasoning_markers("{{ content.split('</think>')[-1] }}")[0]->open == "<think>");
  CHECK(find_reasoning_markers("a[THINK]b")[0]->close == "[/THINK]");
  CHECK(find_reasoning_markers("{{ thinking }} think").empty());
  const MarkerList two = find_reasoning_markers("<think></think><thinking>");
  REQUIRE(two.size() == 2);
  const ReasoningState state = reasoning_at_end(jinja::Text("<think></think><thinking>"), two);
  CHECK(state.open == two[1]);
  ReasoningSplitter splitter(two, state);
  CHECK(splitter.push(" a</think></thinking>b").reasoning == "a</think>");
  ReasoningSplitter other(two, {});
  CHECK(other.push("<thinking>a</thinking>b").reasoning == "a");
}

TEST_CASE("reasoning: it is told from the answer, however the reply comes in pieces", "[runtime][chat]") {
  struct Case {
    const char* reply;
    bool is_open;
    const char* parts;
  };
  const Case cases[] = {{"<think>\nI see.\n</think>\n\nYes. ", false, "I see.|Yes. "},
                        {"\n <think>a\n b</think>c", false, "a\n b|c"},
                        {"I see.\n</think>\n\nYes.", true, "I see.|Yes."},
                        {"<think>\nI see.</think>Yes.", true, "I see.|Yes."},  // opened twice
                        {"<think></think>Yes.", false, "|Yes."},
                        {"</think>\nYes.", false, "|Yes."},
                        {"\n</think>\n\nYes.", true, "|Yes."},
                        {" Yes. <think>no</think>", false, "| Yes. <think>no</think>"},
                        {"<thin air", false, "|<thin air"},
                        {" \n", false, "| \n"},
                        {"a </th b < /think> c </thin", true, "a </th b < /think> c </thin|"},
                        {"cut off \n", true, "cut off|"},
                        {"a</think>b</think>c", true, "a|b</think>c"},
                        {"<think>a</think>\n<think>b</think> c", false, "a\n\nb|c"},
                        {"</think></think> c", false, "|c"}};
  for (const Case& c : cases) {
    CAPTURE(c.reply, c.is_open);
    for (size_t n = 1; n < 12; ++n) CHECK(split(c.reply, c.is_open, n) == c.parts);
  }
}

TEST_CASE("reasoning: markers that are special tokens are known by their text", "[runtime][chat]") {
  ReasoningSplitter splitter(kThink, {});
  CHECK(splitter.push_special("<|im_start|>").answer.empty());
  splitter.push_special("<think>");
  CHECK(splitter.at() == ReasoningSplitter::At::kReasoning);
  CHECK(splitter.push("why").reasoning == "why");
  splitter.push_special("</think>");
  CHECK(splitter.push("yes").answer == "yes");
  CHECK(splitter.push_special("<think>").answer.empty());
  ReasoningSplitter plain({}, {});
  CHECK(plain.push("<think>").answer == "<think>");
}

TEST_CASE("reasoning: the prompt opens or closes it where the template does not", "[runtime][chat]") {
  CHECK(prompt_of("", Think::kAuto) == "<think>");
  CHECK(prompt_of("", Think::kOn) == "<think><think>\n(open)");
  CHECK(prompt_of("", Think::kOff) == "<think><think>\n\n</think>\n\n");
  CHECK(prompt_of("<think>", Think::kAuto) == "<think><think>(open)");
  CHECK(prompt_of("<think>", Think::kOn) == "<think><think>(open)");
  CHECK(prompt_of("<think>", Think::kOff) == "<think><think>\n</think>\n\n");
}

TEST_CASE("reasoning: a template with a switch is told, and its prompt left as it is", "[runtime][chat]") {
  const std::string obeys = "{{ '<think></think>' if enable_thinking is false }}{{ '<think>' if thinking }}";
  CHECK(prompt_of(obeys, Think::kAuto) == "<think>");
  CHECK(prompt_of(obeys, Think::kOn) == "<think><think>(open)");
  CHECK(prompt_of(obeys, Think::kOff) == "<think><think></think>");
  const std::string says = "{{ ' Think!' if thinking }}";
  CHECK(prompt_of(says, Think::kOn) == "<think> Think!");
  CHECK(prompt_of(says, Think::kOff) == "<think>");
  const std::string disobeys = "{{ '!' if thinking }}<think>";
  CHECK(prompt_of(disobeys, Think::kOff) == "<think><think>\n</think>\n\n");
  CHECK(prompt_of(obeys, Think::kOn, R"({"enable_thinking": false})") == "<think><think></think>");
  CHECK(prompt_of("", Think::kOff, R"({"thinking": true})") == "<think>");
}
