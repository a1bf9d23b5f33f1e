// reform search: what it finds, how it shows it, and what it refuses.
#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/files.h"
#include "tests/tools/command.h"

using namespace reform::test;
using Json = nlohmann::json;
using Args = std::vector<std::string>;

namespace {

std::string text_of(int n_lines) {
  std::string text;
  for (int i = 0; i < n_lines; ++i)
    text += "\nword " + std::to_string(i * 7919 % 1000) + " and gate " + std::to_string(i);
  return text;
}

struct Bench : Sandbox {
  const std::string text = text_of(120), file = write("text.txt", text);

  Bench() {
    for (const std::string name : {"a", "b"}) {
      REQUIRE(run({"ingest", "--model", golden_path("tiny_qwen2.gguf"), "--heads", heads_file(), "-t", "1",
                   "--cache-tokens", "128", "--chunk-tokens", "128", name, file})
                  .exit_code == 0);
    }
  }
  CommandResult search(const Args& more, const CommandInput& input = {}) const {
    Args args = {"search", "-t", "1"};
    for (const auto& [option, value] : {std::pair("--gather-tokens", "60"), std::pair("--pool-window", "5")}) {
      if (std::ranges::find(more, option) == more.end()) args.insert(args.end(), {option, value});
    }
    args.insert(args.end(), more.begin(), more.end());
    return run(args, input);
  }
};

std::vector<Json> objects(const CommandResult& r) {
  INFO(r.err);
  std::vector<Json> all;
  std::istringstream lines(r.out);
  for (std::string line; std::getline(lines, line);) {
    all.push_back(Json::parse(line, nullptr, false));
    REQUIRE(all.back().is_object());
    CHECK(all.back()["schema_version"] == 1);
    CHECK(all.back()["verb"] == "search");
  }
  return all;
}

int64_t n_passages(const std::string& out) {
  int64_t n = 0;
  for (size_t at = out.find("(score "); at != std::string::npos; at = out.find("(score ", at + 1)) ++n;
  return n;
}

// Checks that the error is one line and says all of it.
void check_refused(const CommandResult& r, int code, const Args& says) {
  INFO(r.err << r.out);
  CHECK(r.exit_code == code);
  CHECK(r.out.empty());
  CHECK(std::count(r.err.begin(), r.err.end(), '\n') == 1);
  for (const std::string& piece : says) {
    CAPTURE(piece);
    CHECK(r.err.find(piece) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("search: one question gives its passages, best first, and where they are", "[tools]") {
  const Bench b;
  const CommandResult r = b.search({"a", "Where is the gate?", "--json"});
  REQUIRE(r.exit_code == 0);
  REQUIRE(objects(r).size() == 1);
  const Json found = objects(r)[0];
  const Json& sources = found["sources"];
  CHECK(found["contexts"] == Json{"a"});
  CHECK(found["question"] == "Where is the gate?");
  CHECK(found["gathered_tokens"] == 60);
  CHECK(found["edge_tokens"] == 0);
  REQUIRE(sources.size() > 2);
  for (size_t i = 0; i < sources.size(); ++i) {
    const Json& s = sources[i];
    const auto begin = s["begin_byte"].get<int64_t>(), end = s["end_byte"].get<int64_t>();
    CHECK(s["text"] == b.text.substr(size_t(begin), size_t(end - begin)));
    CHECK(s["begin_line"] == 1 + std::count(b.text.begin(), b.text.begin() + begin, '\n'));
    for (const char* key : {"begin_byte", "end_byte", "begin_line"}) CHECK(s["best_" + std::string(key)] == s[key]);
    CHECK(s["kind"] == "match");
    if (i > 0) CHECK(s["score"].get<double>() <= sources[i - 1]["score"].get<double>());
  }
  // As text, the line is that of the first word shown: a passage may begin with the line feed before it.
  const CommandResult plain = b.search({"a", "Where is the gate?", "--top", "2"});
  REQUIRE(plain.exit_code == 0);
  CHECK(n_passages(plain.out) == 2);
  CHECK(plain.out.find("… and " + std::to_string(sources.size() - 2) + " more; --top 0 shows all\n") !=
        std::string::npos);
  const std::string best = sources[0]["text"];
  const size_t shown = best.find_first_not_of(" \n");
  const auto line =
      sources[0]["begin_line"].get<int64_t>() + std::count(best.begin(), best.begin() + int64_t(shown), '\n');
  CHECK(plain.out.starts_with("  [a] " + b.file + ":" + std::to_string(line) + " bytes "));
  CHECK(plain.err.find("1 question") != std::string::npos);

  CHECK(n_passages(b.search({"a", "gate", "--top", "0"}).out) > 5);
  CHECK(n_passages(b.search({"a", "gate"}).out) == 5);
  CHECK(objects(b.search({"a", "gate", "--top", "3", "--json"}))[0]["sources"].size() == 3);
  const Json edges = objects(b.search({"a", "gate", "--edge-tokens", "8", "--json"}))[0]["sources"];
  CHECK(edges.back()["kind"] == "edge");
  CHECK(edges.back()["score"].is_null());
  CHECK(b.search({"a", "gate", "--gather-tokens", "0"}).out == "  no passages\n");
}

TEST_CASE("search: a file of questions gives a line of JSON for each, as each alone", "[tools]") {
  const Bench b;
  const std::string text = "\xef\xbb\xbfWhere is the gate?\r\n\n \t\nword 7\nlast";
  const std::string file = b.write("questions.txt", text);
  const CommandResult r = b.search({"a", "--file", file, "b", "--json"});
  const std::vector<Json> found = objects(r);
  REQUIRE(found.size() == 3);
  const Args questions = {"Where is the gate?", "word 7", "last"};
  for (size_t i = 0; i < 3; ++i) {
    CHECK(found[i]["question"] == questions[i]);
    CHECK(found[i]["contexts"] == Json{"a", "b"});
    CHECK(found[i]["sources"] == objects(b.search({"a", "b", questions[i], "--json"}))[0]["sources"]);
  }
  CommandInput input;
  input.stdin_text = text;
  const std::vector<Json> piped = objects(b.search({"a", "b", "--file", "-", "--json"}, input));
  REQUIRE(piped.size() == 3);
  for (size_t i = 0; i < 3; ++i) CHECK(piped[i]["sources"] == found[i]["sources"]);

  const std::string plain = b.search({"a", "-f", file, "--top", "1"}).out;
  size_t at = 0;
  for (const std::string& question : questions) {
    at = plain.find((at == 0 ? "" : "\n") + question + "\n  [a] ", at);
    CHECK(at != std::string::npos);
  }
}

TEST_CASE("search: what is refused says why, and names the question's line", "[tools]") {
  const Bench b;
  std::string endless;
  for (int i = 0; i < 3000; ++i) endless += "why ";
  const auto lines = [&](const std::string& text) { return Args{"a", "--file", b.write("q.txt", text)}; };
  const std::string q = b.path("q.txt");
  check_refused(b.search({"nobody", "why?"}), 3, {"nobody", "\"a\""});
  check_refused(b.search({"a", "where", "is", "it"}), 3, {"the last argument is the question, in quotes"});
  check_refused(b.search({"a"}), 2, {"the form is: reform search [OPTIONS] NAME... QUESTION"});
  check_refused(b.search({}), 2, {"the form is: reform search [OPTIONS] NAME... QUESTION"});
  check_refused(b.search({"a", " \t"}), 2, {"error: the question is empty"});
  for (const char* blank : {"\u2003", "\u00a0", "\u3000", "\u200b", "\ufeff"})
    check_refused(b.search({"a", blank}), 2, {"error: the question is empty"});
  check_refused(b.search({"a", "a\xff"}), 5, {"the question is not UTF-8 at byte 1"});
  check_refused(b.search({"a", endless}), 2, {"error: the question's", "window of 1024; ask more briefly"});
  check_refused(b.search({"a", "why?", "--pool-window", "4"}), 2,
                {"--pool-window: is '4'; expected an odd number from 1 to 4095 (reform search --help explains)"});
  check_refused(b.search({"a", "why?", "--top", "-1"}), 2, {"--top"});
  check_refused(b.search({"--file", q}), 2, {"the form is: reform search [OPTIONS] NAME... QUESTION"});

  check_refused(b.search(lines("why?\n\na\xff\n")), 5, {q + ":3: ", "UTF-8"});
  check_refused(b.search(lines("\n" + endless + "\nwhy?")), 2, {q + ":2: the question's", "window of 1024"});
  check_refused(b.search(lines(" \n\n")), 2, {q + ": there is no question in it"});
  check_refused(b.search(lines("\u00a0\n\u2003\u3000\n\u200b\n\ufeff\n")), 2, {q + ": there is no question in it"});
  check_refused(b.search(lines("")), 2, {q + ": there is no question in it"});
  check_refused(b.search({"a", "--file", b.path("none.txt")}), 3, {"none.txt", "no such file"});
  check_refused(b.search({"a", "--file", b.path("")}), 2, {"is a directory"});
  CommandInput endless_input;
  endless_input.stdin_text = endless;
  check_refused(b.search({"a", "--file", "-"}, endless_input), 2, {"standard input:1: the question's"});
  check_refused(b.search({"nobody", "a", "--file", b.write("q.txt", "why?")}), 3, {"nobody"});
  const std::vector<Json> error = objects(b.search({"a", "--file", b.path("none.txt"), "--json"}));
  REQUIRE(error.size() == 1);
  CHECK(error[0]["error"]["code"] == 3);
}

TEST_CASE("ask: an answer that was cut says so, and its sources are shown best first", "[tools]") {
  const Bench b;
  const auto ask = [&](const Args& more) {
    Args args = {"ask", "a", "where?", "--chat-template", "chatml", "--gather-tokens", "60", "--edge-tokens", "8"};
    args.insert(args.end(), more.begin(), more.end());
    const CommandResult r = b.run(args);
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
    return r;
  };
  const std::string cut = "[the answer was cut at 3 tokens; -n N allows more]\n";
  CHECK(ask({"-n", "3"}).err.find(cut) != std::string::npos);
  CHECK(ask({"-n", "3", "-q"}).err.empty());
  for (const Args& more : {Args{"-n", "0"}, Args{"-n", "3", "--ignore-eos"}})
    CHECK(ask(more).err.find("was cut") == std::string::npos);

  const std::string all = ask({"-n", "0", "--pool-window", "5", "--sources", "--top", "0"}).out;
  std::vector<double> scores;
  for (size_t at = all.find("(score "); at != std::string::npos; at = all.find("(score ", at + 1))
    scores.push_back(std::stod(all.substr(at + 7)));
  CHECK(scores.size() > 5);
  CHECK(std::is_sorted(scores.rbegin(), scores.rend()));
  CHECK(all.find("(edge)") > all.rfind("(score "));  // after all matches
  CHECK(all.find("  [a] " + b.file + ":1") != std::string::npos);
  const std::string few = ask({"-n", "0", "--pool-window", "5", "--sources"}).out;
  CHECK(n_passages(few) == 5);
  CHECK(all.starts_with(few.substr(0, few.find("  … and "))));
}
