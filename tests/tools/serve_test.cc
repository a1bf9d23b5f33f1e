// What the server makes of a request before the engine sees it. The server itself: tests/scripts/serve_test.py.
#include <catch2/catch.hpp>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "tools/serve/access.h"
#include "tools/serve/chat_request.h"
#include "tools/serve/conversation.h"
#include "tools/serve/fields.h"
#include "tools/serve/implicit_context.h"
#include "tools/serve/raw_member.h"
#include "tools/serve/seats.h"

using namespace reform;
using namespace reform::tool;

namespace {

constexpr int64_t kWindow = 8192;

int refused(const AccessRules& rules, const Caller& caller) {
  const auto why = refusal(rules, caller);
  return why ? why->http_status : 0;
}

RequestJson parsed(const std::string& body) {
  const auto json = parse_request(body);
  REQUIRE(json.ok());
  return json.value();
}

// The field that is refused; "": none.
ParsedChat chat_of(const std::string& body, int64_t window_tokens = kWindow) {
  return parse_chat(parsed(body), body, window_tokens);
}

std::string refused_field(const std::string& more) {
  const std::string body = R"({"model": "m", "messages": [{"role": "user", "content": "q"}])" + more + "}";
  const ParsedChat chat = chat_of(body);
  CHECK(chat.problem.status.ok() == chat.problem.param.empty());
  return chat.problem.param;
}

ParsedChat with_messages(const std::string& messages) {
  return chat_of(R"({"model": "m", "messages": )" + messages + "}");
}

}  // namespace

TEST_CASE("serve: a name that DNS could point here, and another site's page, are refused", "[tools][serve]") {
  const AccessRules rules{{"archive.example"}, {}};
  for (const char* host : {"localhost", "localhost:8420", "LOCALHOST:1", "127.0.0.1:8420", "[::1]:8420", "10.0.0.7",
                           "archive.example:8420", "Archive.Example"})
    CHECK(refused(rules, {host, "", ""}) == 0);
  for (const char* host :
       {"", "evil.example", "evil.example:8420", "localhost.evil.example", "[evil", "127.0.0.1.evil"})
    CHECK(refused(rules, {host, "", ""}) == 403);
  CHECK(refused(rules, {"localhost:8420", "http://localhost:8420", ""}) == 0);
  for (const char* origin : {"http://evil.example", "null", "http://localhost:3000", "localhost:8420"})
    CHECK(refused(rules, {"localhost:8420", origin, ""}) == 403);
}

TEST_CASE("serve: with keys, only a whole key of the file lets in", "[tools][serve]") {
  const auto keys = keys_of("  0123456789abcdef \r\n\nfedcba9876543210\n", "keys");
  REQUIRE(keys.ok());
  const AccessRules rules{{}, keys.value()};
  CHECK(keys.value().size() == 2);
  CHECK(refused(rules, {"localhost", "", "Bearer 0123456789abcdef"}) == 0);
  CHECK(refused(rules, {"localhost", "", "bearer fedcba9876543210"}) == 0);
  for (const char* said : {"", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0",
                           "Basic 0123456789abcdef", "0123456789abcdef", "Bearer 0123456789abcdefedcba9876543210"})
    CHECK(refused(rules, {"localhost", "", said}) == 401);
  CHECK(keys_of(" \n\n", "keys").status().code == Code::kUsage);
  CHECK(keys_of("short\n", "keys").status().code == Code::kUsage);
}

TEST_CASE("serve: bodies that are no object of bounded depth are refused", "[tools][serve]") {
  const auto deep = [](int n) { return R"({"a": )" + std::string(size_t(n), '[') + std::string(size_t(n), ']') + "}"; };
  CHECK(parse_request(deep(60)).ok());
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("[]"), std::string("1"), deep(70), deep(200'000),
        std::string("{\"a\": \"\xff\"}"), std::string("{\"a\": 1e999}"), std::string("{} {}")})
    CHECK(parse_request(body).status().code == Code::kUsage);
}

TEST_CASE("serve: messages become system text, turns before, and a question", "[tools][serve]") {
  const ParsedChat chat =
      with_messages(R"([{"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Now."},
    {"role": "user", "content": "Hi", "name": "Ann"}, {"role": "assistant", "content": "Hello", "annotations": [1]},
    {"role": "user", "content": [{"type": "text", "text": "Who "}, {"type": "text", "text": "is it?"}]}])");
  REQUIRE(chat.problem.status.ok());
  CHECK(chat.request.system == "Be brief.\n\nNow.");
  REQUIRE(chat.request.chat.history.size() == 2);
  CHECK(chat.request.chat.history[1].content == "Hello");
  CHECK(chat.request.prompt == "Who is it?");
  for (const char* messages :
       {"[]", "1", "[1]", R"([{"role": "assistant", "content": "a"}])", R"([{"role": "user", "content": " "}])",
        R"([{"role": "user"}])", R"([{"role": "tool", "content": "a"}])", R"([{"content": "a"}])",
        R"([{"role": "user", "content": 1}])", R"([{"role": "user", "content": [{"type": "image_url"}]}])",
        R"([{"role": "user", "content": "a"}, {"role": "system", "content": "b"}, {"role": "user", "content": "c"}])",
        R"([{"role": "assistant", "content": "a", "tool_calls": [{}]}, {"role": "user", "content": "c"}])",
        R"([{"role": "user", "content": "a", "x": 1}])"}) {
    INFO(messages);
    CHECK(with_messages(messages).problem.status.code == Code::kUsage);
  }
}

TEST_CASE("serve: what is not supported is refused by name, and never ignored", "[tools][serve]") {
  CHECK(refused_field("").empty());
  CHECK(
      refused_field(R"(, "n": 1, "logprobs": false, "logit_bias": {}, "presence_penalty": 0.0, "tools": [], "user": "a",
    "response_format": {"type": "text"}, "stream_options": {"include_usage": true}, "temperature": null, "x": null)")
          .empty());
  CHECK(refused_field(R"(, "n": 2)") == "n");
  CHECK(refused_field(R"(, "top_logprobs": 2)") == "top_logprobs");
  CHECK(refused_field(R"(, "logprobs": true, "top_logprobs": 21)") == "top_logprobs");
  CHECK(refused_field(R"(, "tools": [{}])") == "tools");
  CHECK(refused_field(R"(, "response_format": {"type": "xml"})") == "response_format");
  CHECK(refused_field(R"(, "response_format": {"type": "json_object", "x": 1})") == "response_format");
  CHECK(refused_field(R"(, "frequency_penalty": 0.5)") == "frequency_penalty");
  CHECK(refused_field(R"(, "made_up": 0)") == "made_up");
  CHECK(refused_field(R"(, "stream_options": {"made_up": 0})") == "stream_options");
  CHECK(refused_field(R"(, "chat_template_kwargs": 1)") == "chat_template_kwargs");
}

TEST_CASE("serve: the form of the answer is taken with its schema's own order", "[tools][serve]") {
  const auto asked = [](const std::string& more) {
    return chat_of(R"({"model": "m", "messages": [{"role": "user", "content": "q"}], )" + more + "}");
  };
  const std::string schema =
      R"({"type": "object", "properties": {"z": {"type": "string"}, "a": {"enum": ["}", "\"{"]}}})";
  const auto of_schema = [&](const std::string& text) {
    return asked(
        R"("x": null, "response_format" : {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema":)" +
        text + "}}");
  };
  CHECK(of_schema(schema).problem.status.message.empty());
  CHECK(of_schema(schema).request.sampling.json_schema == schema);
  const ParsedChat unknown = of_schema(R"({"type": "string", "pattern": "a"})");
  CHECK(unknown.problem.param == "response_format");
  CHECK(unknown.problem.status.message.find("'pattern'") != std::string::npos);
  CHECK(of_schema("null").request.sampling.json_schema == R"({"type": "object"})");
  CHECK(asked(R"("logprobs": true, "top_logprobs": 3)").request.sampling.top_logprobs == 3);
  CHECK(asked(R"("logprobs": true)").request.sampling.top_logprobs == 0);
  CHECK(asked(R"("logprobs": false)").request.sampling.top_logprobs == -1);
}

TEST_CASE("serve: a member's text is what was written", "[tools][serve]") {
  CHECK(raw_member(R"({"a": 1, "b": {"a": [2, "}"]}, "c": "x,\"y" })", "b") == R"( {"a": [2, "}"]})");
  CHECK(raw_member(R"({"a": 1})", "a") == " 1");
  CHECK(raw_member(R"({"a": 1, "a": 2})", "a") == " 2");
  CHECK(raw_member(R"({"b": {"a": 1}})", "a").empty());
  CHECK(raw_member("{}", "a").empty());
  CHECK(raw_member("", "a").empty());
  CHECK(raw_member("{\"a\"", "a").empty());
}

TEST_CASE("serve: a removed context of a long prompt is not named", "[tools][serve]") {
  std::vector<Eviction> evicted = {
      {"mine", 1, 0}, {"prompt-0123456789abcdef0123456789abcdef", 1, 0}, {"prompt-", 1, 0}};
  hide_implicit(evicted);
  REQUIRE(evicted.size() == 2);
  CHECK(evicted[0].context == "mine");
  CHECK(evicted[1].context == "prompt-");
}

TEST_CASE("serve: numbers are in range or refused", "[tools][serve]") {
  for (const char* bad : {R"("temperature": -1)", R"("temperature": "1")", R"("top_p": 1.5)", R"("max_tokens": 0)",
                          R"("max_tokens": 1.5)", R"("max_tokens": 18446744073709551615)", R"("max_tokens": 1e30)",
                          R"("seed": 0.5)", R"("stream": 1)", R"("stop": [1])", R"("gather_tokens": -2)"}) {
    INFO(bad);
    CHECK_FALSE(refused_field(std::string(", ") + bad).empty());
  }
  const ParsedChat chat = chat_of(R"({"model": "m", "messages": [{"role": "user", "content": "q"}], "max_tokens": 64.0,
    "seed": -7, "stop": "END", "temperature": 1})");
  REQUIRE(chat.problem.status.ok());
  CHECK(chat.request.sampling.max_new_tokens == 64);
  CHECK(chat.request.sampling.seed == uint64_t(-7));
  CHECK(chat.request.sampling.stop == std::vector<std::string>{"END"});
  CHECK(chat.request.sampling.temperature == 1);
  CHECK(chat_of(R"({"model": "m", "messages": [{"role": "user", "content": "q"}]})", 512)
            .request.sampling.max_new_tokens == 128);
}

TEST_CASE("serve: completions take one text", "[tools][serve]") {
  const auto problem = [](const std::string& body) {
    return parse_completion(parsed(body), body, kWindow).problem.param;
  };
  CHECK(problem(R"({"model": "m", "prompt": "a"})").empty());
  CHECK(problem(R"({"model": "m", "prompt": ["a"], "echo": false})").empty());
  CHECK(problem(R"({"model": "m", "prompt": ["a", "b"]})") == "prompt");
  CHECK(problem(R"({"model": "m", "prompt": [1, 2]})") == "prompt");
  CHECK(problem(R"({"model": "m"})") == "prompt");
  CHECK(problem(R"({"prompt": "a"})") == "model");
  CHECK(problem(R"({"model": "m", "prompt": "a", "messages": []})") == "messages");
}

TEST_CASE("serve: no more answers wait than there are seats", "[tools][serve]") {
  Seats seats(2);
  auto one = seats.take(), two = seats.take();
  REQUIRE(one != nullptr);
  CHECK(seats.take() == nullptr);
  CHECK(seats.retry_after_s() >= 1);
  one.reset();
  auto three = seats.take();
  REQUIRE(three != nullptr);
  CHECK_FALSE(three->cancel.cancelled());
  seats.stop_all();
  CHECK(two->cancel.cancelled());
  CHECK(three->cancel.cancelled());
  three.reset();
  CHECK(seats.take()->cancel.cancelled());
}

namespace {

// Words count as tokens.
int64_t words(const std::string& text) {
  std::istringstream in(text);
  return std::distance(std::istream_iterator<std::string>(in), {});
}

std::string prose(int n_paragraphs, const std::string& word) {
  std::string text;
  for (int i = 0; i < n_paragraphs; ++i) text += word + " one two three four five six seven eight nine.\n\n";
  return text;
}

Conversation said(std::vector<Message> turns, std::string system = "") {
  return {std::move(system), std::move(turns), 0};
}

}  // namespace

TEST_CASE("serve: a long message keeps its instruction and its question, and its middle becomes a piece",
          "[tools][serve]") {
  const std::string text = "Answer from the story below.\n\n" + prose(40, "Velm") + "Who is the keeper?\n\nAnswer:";
  const SplitConversation split = split_conversation(said({{"user", text}}), 200, words);
  REQUIRE(split.pieces.size() == 1);
  CHECK(split.pieces[0].name == "messages[0] (user)");
  CHECK(text.substr(size_t(split.pieces[0].begin_byte), split.pieces[0].text.size()) == split.pieces[0].text);
  CHECK(split.pieces[0].text == prose(40, "Velm"));
  CHECK(split.rest.turns[0].content == "Answer from the story below.\n\n\n\n[...]\n\nWho is the keeper?\n\nAnswer:");
}

TEST_CASE("serve: ends of messages without paragraphs are lines, sentences or whole characters", "[tools][serve]") {
  const auto tail = [](const std::string& text) { return text.substr(find_ends(text, kMostEndBytes).tail_begin); };
  CHECK(tail("a story\n\nWhat is it?") == "What is it?");
  CHECK(tail("a story\n\nWhat is it?\n\nBe brief.\n\n") == "What is it?\n\nBe brief.\n\n");
  const std::string line(1000, 'x');
  CHECK(tail(line + "\nWhat is it?") == "What is it?");
  CHECK(tail(line + ". What is it?") == "What is it?");
  std::string accents;
  for (int i = 0; i < 1000; ++i) accents += "é";
  CHECK(tail("x" + accents).size() <= 801);
  CHECK(tail("x" + accents).starts_with("é"));
  for (const char* odd : {"", " ", "\n\n", "?", "\n\n?\n\n", "a\n\n\n\nb"}) {
    const MessageEnds ends = find_ends(odd, kMostEndBytes);
    CHECK(ends.head_end <= ends.tail_begin);
    CHECK(ends.tail_begin <= std::string(odd).size());
  }
}

TEST_CASE("serve: as a chat grows its pieces only grow, and the rest stays small and begins with a user",
          "[tools][serve]") {
  std::vector<Message> turns;
  std::vector<Piece> before;
  size_t n_changes = 0;
  for (int i = 0; i < 60; ++i) {
    turns.push_back(
        {"user", "question " + std::to_string(i) + (i % 20 == 7 ? "\n\n" + prose(20, "w") + "\n\nWhy?" : " why?")});
    const SplitConversation split = split_conversation(said(turns), 200, words);
    REQUIRE(split.pieces.size() >= before.size());
    for (size_t p = 0; p < before.size(); ++p) CHECK(split.pieces[p].text == before[p].text);
    n_changes += split.pieces.size() != before.size();
    before = split.pieces;
    CHECK(split.rest.turns.front().role == "user");
    CHECK(split.rest.turns.back().content.ends_with("hy?"));
    int64_t n = 0;
    for (const Message& turn : split.rest.turns) n += words(turn.content);
    CHECK(n <= 100);
    turns.push_back({"assistant", "because of " + std::to_string(i)});
  }
  CHECK(n_changes >= 3);
  CHECK(n_changes <= 30);
}

TEST_CASE("serve: the context of a conversation is found again by its pieces, and by nothing else", "[tools][serve]") {
  const auto implicit = [](char digit) { return "prompt-" + std::string(32, digit); };
  const std::vector<Piece> pieces = {{"messages[0]", "one"}, {"messages[2]", "two"}, {"messages[4]", "three"}};
  const std::vector<std::string> files = file_names(pieces, "model");
  CHECK(file_names({pieces[0], pieces[1]}, "model")[1] == files[1]);
  CHECK(file_names({pieces[1]}, "model")[0] != files[1]);
  CHECK(file_names(pieces, "other")[0] != files[0]);
  CHECK(files[2].substr(0, 12) == "messages[4]#");
  const auto context = [](std::string name, std::vector<std::string> of, int64_t asked,
                          std::string state = "complete") {
    ContextInfo info;
    info.name = std::move(name), info.files = std::move(of), info.state = std::move(state);
    info.last_asked_unix_s = asked, info.disk_bytes = 10;
    return info;
  };
  const std::vector<std::string> two = {files[0], files[1]}, other = {files[0], "messages[2]#0"};
  const std::vector<ContextInfo> contexts = {context(implicit('a'), {files[0]}, 3), context(implicit('b'), two, 1),
                                             context(implicit('c'), other, 2),
                                             context("prompt-notes", {"notes.txt"}, 0), context("mine", files, 0)};
  CHECK(is_implicit_name(implicit('a') + "-2"));
  for (const char* name : {"prompt-a", "prompt-", "my prompt-", "prompt-0123456789abcdef0123456789abcdeg"})
    CHECK_FALSE(is_implicit_name(name));
  const KnownContext known = find_known(contexts, files);
  CHECK(known.name == implicit('b'));
  CHECK(known.n_pieces == 2);
  CHECK(find_known(contexts, {"messages[0]#1"}).name.empty());
  CHECK(to_remove(contexts, 20, "") == std::vector<std::string>{implicit('b')});
  CHECK(to_remove(contexts, 10, implicit('b')) == std::vector<std::string>{implicit('c'), implicit('a')});
  CHECK(to_remove(contexts, 30, "").empty());
}

TEST_CASE("serve: a body's form costs time that grows with its length alone", "[tools][serve]") {
  std::string body = R"({"a": [)";
  for (int i = 0; i < 400'000; ++i) body += "{},";
  body += R"(0], "b\\\"[[[[": "]]{{"})";
  CHECK(parse_request(body).ok());
  std::vector<Message> turns(100'000, {"user", ""});
  CHECK(split_conversation(said(turns), 1000, words).rest.turns.size() < 100);
}
