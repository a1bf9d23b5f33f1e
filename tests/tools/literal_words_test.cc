// What is written on the command line is meant as it stands, brackets and all, by every verb.
#include "tools/literal_words.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/support/files.h"
#include "tests/tools/command.h"

using namespace reform::test;
using Args = std::vector<std::string>;
using Json = nlohmann::json;

namespace {

struct Bench : Sandbox {
  Json files_of(const std::string& name, Args more) const {
    more.insert(more.begin(), "--json");
    const CommandResult r = run(ingest_args(name, more));
    INFO(r.err << r.out);
    REQUIRE(r.exit_code == 0);
    return Json::parse(r.out)["context"]["files"];
  }
  std::string names() const {
    std::string all;
    const Json listed = Json::parse(run({"contexts", "--json"}).out);
    for (const Json& c : listed["contexts"])
      all += c["name"].get<std::string>() + (c["pinned"].get<bool>() ? " pinned; " : "; ");
    return all;
  }
};

}  // namespace

TEST_CASE("words in brackets are names, files, globs and questions, and no lists", "[tools]") {
  const Bench b;
  for (const char* name : {"y", "z", "[y,z]"})
    REQUIRE(b.run(b.ingest_args(name, {b.write("text", "The mill stands by the river.")})).exit_code == 0);
  CHECK(b.run({"pin", "[y,z]"}).exit_code == 0);
  CHECK(b.names() == "[y,z] pinned; y; z; ");
  const CommandResult found = b.run({"search", "-t", "1", "--json", "[y,z]", "[INST] where, why? [/INST]"});
  INFO(found.err << found.out);
  REQUIRE(found.exit_code == 0);
  CHECK(Json::parse(found.out)["question"] == "[INST] where, why? [/INST]");
  CHECK(b.run({"rm", "[y,z]"}).exit_code == 0);
  CHECK(b.names() == "y; z; ");

  const std::string whole = b.write("[one,two]", "whole"), one = b.write("one", "one");
  CHECK(b.files_of("files", {whole}) == Json({whole}));
  REQUIRE(std::filesystem::create_directory(b.path("[tree]")));
  for (const char* name : {"a", "b", "c"}) b.write(std::string("[tree]/") + name, name);
  const std::string tree = b.path("[tree]");
  CHECK(b.files_of("tree", {"-r", tree, "--exclude", "[a-b]"}) == Json({tree + "/c"}));
  CHECK(b.files_of("some", {"-r", "--include=[ac]", tree}) == Json({tree + "/a", tree + "/c"}));
  const CommandResult open = b.run(b.ingest_args("none", {"-r", tree, "--exclude", "[]", "--json"}));
  CHECK(open.exit_code == 2);
  CHECK(open.err.find("[]") != std::string::npos);
}

TEST_CASE("an option with nothing behind its '=' has an empty value, and no word of its neighbour's", "[tools]") {
  const std::set<std::string> options = {"--store", "-m", "--system"};
  CHECK(reform::tool::marked({"rm", "--store=", "k"}, options) == Args{"rm", "--store", "", "k"});
  CHECK(reform::tool::marked({"rm", "--json=", "--", "--store="}, options) == Args{"rm", "--json=", "\x01--store="});
  CHECK(reform::tool::marked({"ask", "--system=", "--", "-q"}, options) == Args{"ask", "--system", "", "\x01-q"});
  const Sandbox b;
  for (const Args& args : {Args{"contexts", "--store=", "--json"}, Args{"rm", "--store=", "k", "l"}}) {
    const CommandResult r = b.run(args);
    CHECK(r.exit_code == 2);
    CHECK(r.err.find("--store: must not be empty") != std::string::npos);
  }
}

TEST_CASE("after -- nothing is an option, wherever it stands", "[tools]") {
  const Bench b;
  const std::string text = b.write("text", "The mill stands by the river.");
  for (const char* name : {"y", "-z"}) {
    const CommandResult r = b.run(
        {"ingest", "-t", "1", "--model", golden_path("tiny_qwen2.gguf"), "--heads", b.heads_file(), "--", name, text});
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
  }
  for (const Args& args :
       {Args{"search", "-t", "1", "--json", "y", "--", "-5"}, {"search", "--json", "--", "y", "-5"}}) {
    const CommandResult r = b.run(args);
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(Json::parse(r.out)["question"] == "-5");
  }
  const std::string store = b.path("data/reform");
  for (const Args& args : {Args{"verify", "y", "--", "-z"},
                           {"verify", "y", "--store=" + store, "--", "-z"},
                           {"verify", "y", "--store", store, "-q", "--", "-z"},
                           {"verify", "--json", "--", "y", "-z"}}) {
    const CommandResult r = b.run(args);
    INFO(r.err);
    CHECK(r.exit_code == 0);
  }
  CHECK(b.run({"rm", "y", "--", "-z"}).exit_code == 0);
  CHECK(b.names().empty());
  const CommandResult missing = b.run({"search", "y", "why?", "--top", "--"});
  CHECK(missing.exit_code == 2);
  CHECK(missing.err.find("--top") != std::string::npos);
  // What stands behind an option that wants a value is that value.
  CHECK(b.run({"import", "--as", "--", "--", "-.ex"}).err == "reform: error: -.ex: no such file or directory\n");
  CHECK(b.run({"--", "contexts"}).exit_code == 0);
  CHECK(b.run({"--", "--help"}).exit_code == 2);
  const CommandResult extra = b.run({"contexts", "a", "--b", "--", "--c"});
  CHECK(extra.exit_code == 2);
  CHECK(extra.err.find("arguments were not expected: a --b --c (") != std::string::npos);
}

TEST_CASE("marks on words are taken off again, whatever the words are", "[tools]") {
  using reform::tool::marked, reform::tool::without_marks;
  CHECK(reform::tool::marked({"ask", "y", "why?"}) == Args{"ask", "y", "why?"});
  CHECK(reform::tool::marked({"rm", "a", "--", "-b"}).size() == 3);
  CHECK(reform::tool::marked({"rm", "-qm", "--", "-b"}, {"-m"}) == Args{"rm", "-qm", "--", "-b"});
  CHECK(reform::tool::marked({"rm", "-mq", "--", "-b"}, {"-m"}).size() == 3);
  CHECK(without_marks(marked({"[a,b]"})[0]) == "[a,b]");
  CHECK(reform::tool::marked({"[a]\x01"}) != marked({"[a]"}));
}
