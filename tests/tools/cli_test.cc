// The command from outside: help, usage errors, exit codes, and one JSON object whatever happens.
#include <reform/engine.h>
#include <reform/ingest.h>
#include <reform/version.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/files.h"
#include "tests/tools/command.h"

using namespace reform;
using reform::test::CommandResult;
using reform::test::Sandbox;
using Json = nlohmann::json;

namespace {

const std::string kModel = test::golden_path("tiny_llama3.gguf");
constexpr const char* kVerbs[] = {"ingest", "ask",    "search", "contexts", "show",
                                  "rm",     "verify", "export", "import",   "generate"};

// Checks that the output is exactly one line with one object.
Json one_object(const CommandResult& r) {
  INFO(r.out << r.err);
  REQUIRE(!r.out.empty());
  REQUIRE(r.out.find('\n') == r.out.size() - 1);
  Json json = Json::parse(r.out, nullptr, false);
  REQUIRE(json.is_object());
  CHECK(json["schema_version"] == kJsonSchemaVersion);
  return json;
}

void check_error(const Sandbox& box, std::vector<std::string> args, int code, const std::string& says) {
  const CommandResult plain = box.run(args);
  INFO(plain.err);
  CHECK(plain.exit_code == code);
  CHECK(plain.out.empty());
  CHECK(plain.err.find("reform: error: ") != std::string::npos);
  CHECK(plain.err.find(says) != std::string::npos);
  CHECK(plain.err.back() == '\n');

  args.push_back("--json");
  const CommandResult r = box.run(args);
  CHECK(r.exit_code == code);
  CHECK(r.err.find(says) != std::string::npos);
  Json json = one_object(r);
  CHECK(json["verb"] == args.front());
  CHECK(json["error"]["code"] == code);
  CHECK(json["error"]["name"].is_string());
  CHECK(json["error"]["message"].get<std::string>().find(says) != std::string::npos);
}

}  // namespace

TEST_CASE("help: the command lists its verbs, each verb explains itself with an example", "[tools]") {
  const Sandbox box;
  const CommandResult all = box.run({"--help"});
  CHECK(all.exit_code == 0);
  CHECK(all.err.empty());
  for (const char* verb : kVerbs) {
    INFO(verb);
    CHECK(all.out.find(std::string("\n  ") + verb + " ") != std::string::npos);
    const CommandResult r = box.run({verb, "--help"});
    CHECK(r.exit_code == 0);
    CHECK(r.out.find("Usage: reform " + std::string(verb)) != std::string::npos);
    CHECK(r.out.find("Example:\n  reform " + std::string(verb)) != std::string::npos);
    CHECK(r.out.find("--json") != std::string::npos);
    CHECK(std::count(r.out.begin(), r.out.begin() + r.out.find("\n\n"), '\n') == 1);  // two lines of explanation
  }
}

TEST_CASE("help: ingest lists every policy with its summary", "[tools]") {
  const Sandbox box;
  const std::string help = box.run({"ingest", "--help"}).out;
  for (const PolicyInfo& policy : list_policies()) {
    INFO(policy.name);
    CHECK(help.find(" " + policy.name + ": " + policy.summary + "\n") != std::string::npos);
  }
}

TEST_CASE("help: before the verb, and beside arguments that would not do", "[tools]") {
  const Sandbox box;
  const std::string help = box.run({"ask", "--help"}).out;
  const std::vector<std::string> askers[] = {
      {"help", "ask"}, {"ask", "--help", "x"}, {"ask", "x", "-h"}, {"ask", "--temp", "hot", "--help"}};
  for (const std::vector<std::string>& args : askers) {
    CAPTURE(args);
    const CommandResult r = box.run(args);
    CHECK(r.exit_code == 0);
    CHECK(r.out == help);
    CHECK(r.err.empty());
  }
  CHECK(box.run({"help"}).out == box.run({"--help"}).out);
  const CommandResult bogus = box.run({"help", "bogus"});
  CHECK(bogus.exit_code == 2);
  CHECK(bogus.err == "reform: error: there is no verb 'bogus' (reform --help lists them)\n");
  CHECK(box.run({"show", "--", "--help"}).exit_code == 3);  // a name, not a flag
}

TEST_CASE("an argument that is missing, or one too many, shows the form of the verb", "[tools]") {
  const Sandbox box;
  check_error(box, {"ingest", "report.txt"}, 2,
              "NAME or FILE is missing; the form is: reform ingest [OPTIONS] NAME FILE...");
  check_error(box, {"ingest"}, 2, "NAME and FILE are missing; the form is: reform ingest [OPTIONS] NAME FILE...");
  check_error(box, {"show"}, 2, "NAME is missing; the form is: reform show [OPTIONS] NAME");
  check_error(box, {"show", "a", "b"}, 2, "the form is: reform show [OPTIONS] NAME");
  check_error(box, {"ask", "name"}, 2, "the form is: reform ask [OPTIONS] NAME... QUESTION");
  check_error(box, {"ingest", "name", "report.txt"}, 2, "--model is required (reform ingest --help explains)");
  check_error(box, {"show", "--stroe"}, 2, "NAME is missing; there is no option --stroe; the form is");
  const CommandResult ended = box.run({"ingest", "name", "--"});
  CHECK(ended.exit_code == 2);
  CHECK(ended.err.find("NAME or FILE is missing; the form is") != std::string::npos);
}

TEST_CASE("a path, a name or a choice that is empty is refused and named", "[tools]") {
  const Sandbox box;
  const std::pair<std::vector<std::string>, const char*> calls[] = {
      {{"contexts", "--store", ""}, "--store"},
      {{"export", "c", ""}, "FILE"},
      {{"ingest", "--model", kModel, "c", ""}, "FILE"},
      {{"ingest", "--model", kModel, "", "text"}, "NAME"},
      {{"ingest", "--model", "", "c", "text"}, "--model"},
      {{"ingest", "--model", kModel, "--heads", "", "c", "text"}, "--heads"},
      {{"ingest", "--model", kModel, "--depth", "", "c", "text"}, "--depth"},
      {{"import", "f", "--as", ""}, "--as"},
      {{"rm", "c", ""}, "NAME"},
      {{"search", "c", "--file", ""}, "--file"},
      {{"ask", "", "why?"}, "NAME"},
      {{"generate", "--model", kModel, "--device", "", "x"}, "--device"}};
  for (const auto& [args, what] : calls) {
    CAPTURE(args);
    const CommandResult r = box.run(args);
    CHECK(r.exit_code == 2);
    CHECK(r.err.starts_with(std::string("reform: error: ") + what + ": "));
    CHECK(r.err.find("must not be empty") != std::string::npos);
  }
  CHECK(box.run({"generate", "--model", box.path("none"), "--chat", "--system", "", "x"}).exit_code == 3);
}

TEST_CASE("a store that does not exist is empty to the verbs that make none, and is not made", "[tools]") {
  const Sandbox box;
  const std::string typo = box.path("typo");
  const std::vector<std::string> named[] = {{"ask", "c", "why?"},
                                            {"show", "c"},
                                            {"pin", "c"},
                                            {"unpin", "c"},
                                            {"rm", "c"},
                                            {"verify", "c"},
                                            {"export", "c", box.path("file")}};
  for (std::vector<std::string> args : named) {
    args.insert(args.end(), {"--store", typo});
    CAPTURE(args);
    check_error(box, args, 3,
                "there is no context \"c\": the store " + typo + " does not exist; --store names another");
  }
  for (const char* verb : {"contexts", "verify"}) {
    const CommandResult r = box.run({verb, "--store", typo});
    CHECK(r.exit_code == 0);
    CHECK(r.out == "no contexts in " + typo + "\n");
    CHECK(one_object(box.run({verb, "--store", typo, "--json"}))["contexts"].empty());
  }
  CHECK_FALSE(std::filesystem::exists(typo));

  const std::string empty = box.path("empty"), file = box.path("file");
  std::filesystem::create_directory(empty);
  CHECK(box.run({"contexts", "--store", empty}).out == "no contexts in " + empty + "\n");
  check_error(box, {"show", "c", "--store", empty}, 3, "the store " + empty + " is empty; --store names another");
  CHECK(std::filesystem::is_empty(empty));
  std::ofstream(file) << "text";
  check_error(box, {"contexts", "--store", file}, 2, file + " is a file, not a store");
}

TEST_CASE("version: tool, store format and JSON schema, for people and for programs", "[tools]") {
  const Sandbox box;
  const CommandResult plain = box.run({"--version"});
  CHECK(plain.exit_code == 0);
  CHECK(plain.out.find(kVersion) != std::string::npos);
  CHECK(plain.out.find("store format") != std::string::npos);
  Json json = one_object(box.run({"--version", "--json"}));
  CHECK(json["version"] == kVersion);
  CHECK(json["store_format"] == kStoreFormatVersion);
  CHECK(json["json_schema"] == kJsonSchemaVersion);
}

TEST_CASE("options for a GPU are for a build with CUDA: another neither shows nor takes them", "[tools]") {
  const Sandbox box;
  const std::string help = box.run({"generate", "--help"}).out;
  const CommandResult version = box.run({"--version", "--json"});
  CHECK(one_object(version)["cuda"] == cuda_built_in());
  CHECK(help.find("--device NAME") != std::string::npos);
  const std::pair<const char*, const char*> options[] = {{"--max-gpu-memory", "1GiB"},
                                                         {"--gpu-weights", "host"},
                                                         {"--gpu-products", "half"},
                                                         {"--gpu-attention", "warps"},
                                                         {"--cublas-lt", "none.so"}};
  for (const auto& [option, value] : options) {
    CAPTURE(option);
    CHECK((help.find(option) != std::string::npos) == cuda_built_in());
    const std::vector<std::string> args = {"generate", "--model", kModel, "-n", "1", option, value, "prompt"};
    if (cuda_built_in()) {
      CHECK(box.run(args).exit_code == 0);
    } else {
      check_error(box, args, 2, std::string(option) + ": this reform was built without CUDA (docs/CUDA.md)");
    }
  }
  CHECK(box.run({"generate", "--model", kModel, "-n", "1", "--device", "auto", "prompt"}).exit_code == 0);
  if (!cuda_built_in())
    check_error(box, {"generate", "--model", kModel, "--device", "cuda:0", "prompt"}, 13, "built without CUDA");
}

TEST_CASE("usage errors exit with 2 and say where help is", "[tools]") {
  const Sandbox box;
  const std::string text = box.write("a.txt", "some text");
  CHECK(box.run({}).exit_code == 2);
  CHECK(box.run({"bogus"}).exit_code == 2);
  const std::vector<std::vector<std::string>> cases = {
      {"ask", "only-a-name"},
      {"ask", "name", "question", "--temp", "hot"},
      {"ask", "name", "question", "--no-such-flag"},
      {"ask", "name", "question", "--heads", "heads.json"},  // the context has its own heads
      {"show"},
      {"rm"},
      {"export", "name"},
      {"import"},
      {"ingest", "name", text},
      {"ingest", "--model", kModel, "name"},
      {"ingest", "--model", kModel, "name", text, "--append", "--replace"},
      {"ingest", "--model", kModel, "name", text, "--max-host-memory", "12XB"},
      {"generate", "--model", kModel},
      {"generate", "--model", kModel, "prompt", "--file", text},
  };
  for (const auto& args : cases) {
    CAPTURE(args);
    check_error(box, args, 2, "--help");
  }
  CHECK(box.run({"bogus"}).err.find("no verb 'bogus'") != std::string::npos);
  check_error(box, {"ingest", "--model", kModel, "name", "-", "-"}, 2, "only once");
  check_error(box, {"ingest", "--model", kModel, "name", box.path("")}, 2, "directory");
  check_error(box, {"generate", "--model", kModel, "p", "--system", "s"}, 2, "--system needs --chat");
  check_error(box, {"generate", "--model", kModel, "p", "--chat-template", "chatml"}, 2,
              "--chat-template needs --chat");
  check_error(box, {"generate", "--model", kModel, "p\xff"}, 5, "the prompt is not UTF-8 at byte 1");
  check_error(box, {"generate", "--model", kModel, "--chat", "--chat-template", "chatml", "--system", "\xff", "p"}, 5,
              "the system text (--system) is not UTF-8 at byte 0");
}

TEST_CASE("options out of range are refused before anything is loaded", "[tools]") {
  const Sandbox box;
  const std::string text = box.write("a.txt", "some text");
  const std::vector<std::vector<std::string>> ingests = {
      {"--policy", "lru"},     {"--chunk-tokens", "0"},    {"--chunk-tokens", "-5"},      {"--cache-tokens", "0"},
      {"--sink-tokens", "-1"}, {"--overlap-tokens", "-1"}, {"--chunk-tokens", "99999999"}};
  for (const auto& flags : ingests) {
    CAPTURE(flags);
    const CommandResult r = box.run({"ingest", "--model", box.path("none.gguf"), "name", text, flags[0], flags[1]});
    CHECK(r.exit_code == 2);
  }
  const std::vector<std::vector<std::string>> asks = {
      {"--temp", "-1"},  {"--top-p", "1.5"},        {"--min-p", "-0.1"},     {"--top-k", "-2"},      {"-n", "-5"},
      {"--temp", "nan"}, {"--gather-tokens", "-1"}, {"--edge-tokens", "-1"}, {"--pool-window", "64"}};
  for (const auto& flags : asks) {
    CAPTURE(flags);
    CHECK(box.run({"ask", "name", "question", flags[0], flags[1]}).exit_code == 2);
  }
}

TEST_CASE("what is not there is named, with exit code 3", "[tools]") {
  const Sandbox box;
  const std::string text = box.write("a.txt", "some text");
  check_error(box, {"ingest", "--model", kModel, "name", box.path("none.txt")}, 3, "none.txt");
  check_error(box, {"ingest", "--model", box.path("none.gguf"), "name", text}, 3, "none.gguf");
  check_error(box, {"generate", "--model", box.path("none.gguf"), "p"}, 3, "none.gguf");
  check_error(box, {"generate", "--model", kModel, "--file", box.path("none.txt")}, 3, "none.txt");
  check_error(box, {"ask", "nobody", "why?"}, 3, "nobody");
  check_error(box, {"show", "nobody"}, 3, "nobody");
  check_error(box, {"rm", "nobody"}, 3, "nobody");
  check_error(box, {"verify", "nobody"}, 3, "nobody");
  check_error(box, {"export", "nobody", box.path("out")}, 3, "nobody");
  check_error(box, {"import", box.path("none.reform")}, 3, "none.reform");
  check_error(box, {"ask", "nobody", "asked", "without", "quotes"}, 3, "in quotes");
}

TEST_CASE("a file that is no usable model is refused with exit code 4", "[tools]") {
  const Sandbox box;
  const std::string text = box.write("a.txt", "some text");
  const std::string not_gguf = box.write("not.gguf", "these are not the bytes of a model");
  check_error(box, {"ingest", "--model", not_gguf, "name", text}, 4, "not.gguf");
  check_error(box, {"generate", "--model", not_gguf, "p"}, 4, "not.gguf");
}

TEST_CASE("an empty store is listed as such", "[tools]") {
  const Sandbox box;
  const CommandResult r = box.run({"contexts"});
  CHECK(r.exit_code == 0);
  CHECK(r.out.find("no contexts in " + box.path("data")) != std::string::npos);
  Json json = one_object(box.run({"contexts", "--json", "--store", box.path("elsewhere")}));
  CHECK(json["contexts"].empty());
  CHECK(json["store"] == box.path("elsewhere"));
}

TEST_CASE("control characters in a name reach neither the error line nor break the JSON", "[tools]") {
  const Sandbox box;
  const std::string evil = "evil\x1b[31m\n\xff";
  const CommandResult plain = box.run({"show", evil});
  CHECK(plain.exit_code != 0);
  CHECK(plain.err.find('\x1b') == std::string::npos);
  CHECK(std::count(plain.err.begin(), plain.err.end(), '\n') == 1);
  one_object(box.run({"show", evil, "--json"}));
}
