// The chat template's options, as the command takes them.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/support/files.h"
#include "tests/tools/command.h"

using namespace reform::test;

namespace {

const std::string kModel = golden_path("tiny_llama3.gguf");

CommandResult generate(const Sandbox& box, std::vector<std::string> args) {
  args.insert(args.begin(), {"generate", "--model", kModel, "-n", "1", "--chat"});
  return box.run(args);
}

}  // namespace

TEST_CASE("chat template: a file's is shown, and makes the prompt with the variables and the date given", "[tools]") {
  const Sandbox box;
  const std::string file = box.path("t.jinja");
  write_file(file, "{{ messages[0].content }}{{ '.' if dot }} {{ strftime_now('%Y') }} {{ messages[0].role }}");
  CommandResult run = generate(box, {"--chat-template", file, "--show-template"});
  CHECK(run.exit_code == 0);
  CHECK(run.out == read_file(file) + "\n");
  run = generate(box, {"--chat-template", file, "--chat-template-kwargs", R"({"dot": true})", "--chat-date",
                       "2026-03-07", "--show-prompt", "--json", "Why"});
  CHECK(run.exit_code == 0);
  CHECK(nlohmann::json::parse(run.out)["prompt"].get<std::string>().ends_with("Why. 2026 user"));
  run = generate(box, {"--chat-template", file, "--show-template", "--json"});
  CHECK(nlohmann::json::parse(run.out)["chat_template"]["name"] == file);
}

TEST_CASE("chat template: reasoning that it opens is told from the answer", "[tools]") {
  const Sandbox box;
  write_file(box.path("t"), "{{ messages[0].content }}{{ '<think>' if enable_thinking is not false }}");
  const std::vector<std::string> asked = {"--chat-template", box.path("t"), "--think-tokens", "3", "Why"};
  const CommandResult shown = generate(box, asked);
  CHECK(shown.exit_code == 0);
  CHECK(shown.err.find("Reasoning:\n") != std::string::npos);
  CHECK(shown.err.find("the reasoning was cut;") != std::string::npos);
  std::vector<std::string> more = asked;
  more.insert(more.begin(), {"--json", "--show-prompt"});
  nlohmann::json json = nlohmann::json::parse(generate(box, more).out);
  const std::string reasoning = json["reasoning"], text = json["text"];
  CHECK(shown.out == text + "\n");
  CHECK(shown.err.find(reasoning) != std::string::npos);
  CHECK(json["reasoning_finish_reason"] == "length");
  CHECK(json["timings"]["predicted_n"] == json["reasoning_tokens"].get<int>() + 1);
  CHECK(json["prompt"].get<std::string>().ends_with("Why<think>"));
  more.insert(more.begin(), {"--think", "off"});
  json = nlohmann::json::parse(generate(box, more).out);
  CHECK(json["reasoning"] == "");
  CHECK(json["prompt"].get<std::string>().ends_with("Why"));
}

TEST_CASE("chat template: what cannot be is refused before anything runs", "[tools]") {
  const Sandbox box;
  write_file(box.path("bad"), "{% if %}");
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--chat-template", "none", "x"}, "there is no chat template 'none'"},
      {{"--chat-template", box.path("bad"), "x"}, "line 1: expected an expression"},
      {{"--chat-template-kwargs", "[1]", "x"}, "expected a JSON object"},
      {{"--think", "maybe", "x"}, "expected on, off or auto"},
      {{"--chat-date", "yesterday", "x"}, "'yesterday' is not a date"}};
  for (const auto& [args, message] : cases) {
    const CommandResult run = generate(box, args);
    CHECK(run.exit_code == 2);
    CHECK(run.err.find(message) != std::string::npos);
  }
  const CommandResult run = box.run({"generate", "--model", kModel, "--chat-date", "2026-03-07", "x"});
  CHECK(run.exit_code == 2);
  CHECK(run.err.find("--chat-date needs --chat") != std::string::npos);
}
