#include "runtime/recompute/reply.h"

#include "runtime/chat/built_in.h"
#include "tests/runtime/chat/chat_model.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr const char* kThinks = "{{ messages[0].content }}<think>";

// A reply to a prompt of a template, token by token: one for each byte, and END at the end.
struct Bench {
  explicit Bench(const std::string& source) : model(Templates{{"", source}}) {}

  GenerateResult say(const std::string& text) {
    const ChatTemplate chat = model.chat(name);
    const std::vector<ChatMessage> asked = {{"user", {{MessagePart::Kind::kQuestion, "q", {}}}}};
    const Prompt prompt = take(chat_prompt(chat, *model.tokenizer, asked, options));
    const ChatOptions chosen = chosen_chat(options, sampling, 4096);
    const ReplyPlan plan = plan_reply(chat, prompt, sampling, chosen);
    CHECK(plan.max_tokens() == most_reply_tokens(chat, sampling, chosen));
    const ReplyCallbacks callbacks = {[&](const std::string& piece) { return streamed += piece, true; },
                                      [&](const std::string& piece) { return streamed += "(" + piece + ")", true; }};
    Reply reply(*model.tokenizer, plan, callbacks);
    taken.clear();
    for (size_t i = 0; reply.goes_on(); ++i) {
      const int32_t drawn = i < text.size() ? int32_t(uint8_t(text[i])) : ChatModel::kEos;
      taken += model.tokenizer->token_bytes(reply.take(drawn), true);
    }
    GenerateResult said = reply.finish();
    CHECK(said.timings.predicted_n <= plan.max_tokens());
    return said;
  }

  ChatModel model;
  std::string name, taken, streamed;
  SamplingOptions sampling;
  ChatOptions options;
};

}  // namespace

TEST_CASE("reply: reasoning and answer have a limit each, and come apart", "[runtime][reply]") {
  Bench bench(kThinks);
  bench.sampling.max_new_tokens = 3;
  bench.options.think_tokens = 12;
  GenerateResult said = bench.say("why</think>\nyes, it is");
  CHECK(said.reasoning == "why");
  CHECK(said.reasoning_tokens == 12);  // the line end is its marker's
  CHECK(said.text == "yes");
  CHECK(said.finish_reason == "length");
  CHECK(said.timings.predicted_n == 15);
  CHECK(said.reasoning_finish_reason == "stop");
  CHECK(bench.streamed == "(w)(h)(y)yes");
}

TEST_CASE("reply: reasoning at its limit is closed, and the answer follows", "[runtime][reply]") {
  Bench bench(kThinks);
  bench.options.think_tokens = 3;
  const std::string closing = "\n</think>\n\n";
  GenerateResult said = bench.say("because " + std::string(closing.size() - 5, '.') + "yes");
  CHECK(bench.taken == "bec" + closing + "yes</s>");
  CHECK(said.reasoning == "bec");
  CHECK(said.reasoning_tokens == int64_t(3 + closing.size()));
  CHECK(said.reasoning_finish_reason == "length");
  CHECK(said.text == "yes");
  CHECK(said.finish_reason == "stop");
  bench.options.think_tokens = 0;
  CHECK(bench.say("yes").reasoning.empty());
  CHECK(bench.taken.starts_with(closing));
}

TEST_CASE("reply: a turn that ends within the reasoning still gets its answer", "[runtime][reply]") {
  Bench bench(kThinks);
  const GenerateResult said = bench.say("yes");
  CHECK(bench.taken == "yes\n</think>\n\n</s>");
  CHECK(said.reasoning == "yes");
  CHECK(said.reasoning_finish_reason == "end");
  CHECK(said.finish_reason == "stop");
}

TEST_CASE("reply: off keeps a model from reasoning, even one that opens it by itself", "[runtime][reply]") {
  Bench bench(kThinks);
  bench.options.think = Think::kOff;
  CHECK(bench.say("yes").text == "yes");
  const GenerateResult said = bench.say("<think>" + std::string(11, '.') + "yes");
  CHECK(said.text == "yes");
  CHECK(said.reasoning.empty());
  bench.sampling.max_new_tokens = 6;  // less than white space and marker take
  CHECK(bench.say("     <think>" + std::string(11, '.') + "yes, yes").text == "yes, y");
}

TEST_CASE("reply: a character that the reasoning's limit cuts is told before the answer", "[runtime][reply]") {
  Bench bench(kThinks);
  bench.options.think_tokens = 3;
  bench.say("a\xf0\x9f\x98\x80.........yes");
  CHECK(bench.streamed == "(a)(\xef\xbf\xbd)yes");
}

TEST_CASE("reply: what is opened again after the limit is no answer, and counts for it", "[runtime][reply]") {
  Bench bench("{{ messages[0].content }}{# <think> #}");
  bench.options.think = Think::kOff;
  const std::string opened = "<think>" + std::string(11, '.');  // closed at once
  GenerateResult said = bench.say(opened + "<think>a</think>\nyes");
  CHECK(said.text == "yes");
  CHECK(said.reasoning == "a");
  CHECK(said.reasoning_tokens == int64_t(opened.size()));
  std::string again;
  for (int i = 0; i < 50; ++i) again += "<think></think>";
  CHECK(bench.say(again + "yes").finish_reason == "length");
  const std::string lengthy(40, 'a');  // one byte each, as tokens
  CHECK(bench.say(opened + "<think>" + lengthy + "</think>yes").reasoning == lengthy);
  bench.sampling.max_new_tokens = 10;
  said = bench.say(opened + "<think>all night long");
  CHECK(said.reasoning == "all");
  CHECK(said.finish_reason == "length");
}

TEST_CASE("reply: half a marker at the limit is no reasoning", "[runtime][reply]") {
  Bench bench(kThinks);
  bench.options.think_tokens = 3;
  CHECK(bench.say("a</...........yes").reasoning == "a");
}

TEST_CASE("reply: a model that only seems to begin to reason still has its whole answer", "[runtime][reply]") {
  Bench bench("{{ messages[0].content }}{# <think> #}");
  bench.sampling.max_new_tokens = 4;
  CHECK(bench.say("<thin air").text == "<thi");  // the limit had passed before it was clear
  CHECK(bench.say("   <b>").text == "   <");
  GenerateResult cut = bench.say("  <thi");  // its turn ends before it is clear
  CHECK(cut.text == "  <t");
  CHECK(cut.finish_reason == "length");
  CHECK(bench.say("<th").finish_reason == "stop");
  CHECK(bench.say(std::string(40, ' ') + "<think>").text == "    ");
  CHECK(bench.say("<b>x").text == "<b>x");
  CHECK(bench.say("<think>why</think>yes!").text == "yes!");
  bench.sampling.ignore_end = true;
  CHECK(bench.say("<think>").text == "<thi");
}

TEST_CASE("reply: of a model that was not taught to chat, an empty line ends the answer", "[runtime][reply]") {
  Bench bench("");
  bench.name = kBaseTemplate;
  GenerateResult said = bench.say("\n\n One.\nTwo.\n\nQuestion");
  CHECK(said.text == "\n\n One.\nTwo.");
  CHECK(bench.say("One.\n \t\r\nQuestion").text == "One.");
  CHECK(bench.say("One.\n two\n").text == "One.\n two\n");
  CHECK(bench.say("\u00a0\n\n One.\n\u3000\nTwo").text == "\u00a0\n\n One.");
  CHECK(said.finish_reason == "stop");
  CHECK(bench.say("One.\n").text == "One.\n");
  bench.sampling.ignore_end = true, bench.sampling.max_new_tokens = 5;
  CHECK(bench.say("a\n\nbcd").text == "a\n\nbc");
}

TEST_CASE("reply: a caller stops it within the reasoning, too", "[runtime][reply]") {
  const ChatModel model(Templates{{"", kThinks}});
  ReplyPlan plan;
  plan.markers = find_reasoning_markers(kThinks);
  plan.at_begin.open = plan.markers[0], plan.max_reasoning_tokens = 9;
  const ReplyCallbacks callbacks = {{}, [](const std::string&) { return false; }};
  Reply reply(*model.tokenizer, plan, callbacks);
  reply.take('a');
  CHECK_FALSE(reply.goes_on());
  CHECK(reply.finish().finish_reason == "cancelled");
}

TEST_CASE("reply: a stop text ends the answer before it is said, also where it comes in pieces", "[runtime][reply]") {
  Bench bench("{{ messages[0].content }}");
  bench.sampling.stop = {"###", "\nUser:", "é"};
  const auto said = [&](const std::string& text) {
    bench.streamed.clear();
    const GenerateResult reply = bench.say(text);
    CHECK(reply.text == bench.streamed);
    return reply;
  };
  CHECK(said("one ## two\nUser").text == "one ## two\nUser");
  CHECK(said("one\nUser: two").text == "one");
  CHECK(bench.taken == "one\nUser:");
  CHECK(said("####").text.empty());
  CHECK(said("caf\xC3\xA9").text == "caf");
  CHECK(said("one ###").finish_reason == "stop");
  bench.sampling.max_new_tokens = 5;
  CHECK(said("one ###").text == "one #");
  CHECK(bench.say("one ###").finish_reason == "length");
  bench.sampling.ignore_end = true;
  CHECK(said("#####").text == "#####");
}

TEST_CASE("reply: a stop text is no matter of the reasoning", "[runtime][reply]") {
  Bench bench(kThinks);
  bench.sampling.stop = {"no"};
  const GenerateResult said = bench.say("no</think>yes, no");
  CHECK(said.reasoning == "no");
  CHECK(said.text == "yes, ");
}
