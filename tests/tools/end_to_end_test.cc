// The whole way through the command, with a tiny random model. Its answers are noise, but their sources are not.
#include <catch2/catch.hpp>
#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/support/files.h"
#include "tests/tools/command.h"

using reform::test::CommandInput;
using reform::test::CommandResult;
using reform::test::Sandbox;
using Json = nlohmann::json;
using Args = std::vector<std::string>;

namespace {

std::string model(const std::string& name) { return reform::test::golden_path("tiny_" + name + ".gguf"); }

// Deterministic sentences, all different, with characters of one to four bytes.
std::string story(int n_sentences, uint32_t seed) {
  constexpr const char* kWords[] = {"the", "river", "Müller", "日本語", "counts", "7",  "blue",
                                    "of",  "naïve", "stones", "😀",      "again",  "Ω,", "gate"};
  std::string text;
  uint32_t state = seed;
  for (int i = 0; i < n_sentences; ++i) {
    for (int word = 0; word < 9; ++word) {
      state = state * 1664525u + 1013904223u;
      text += (word == 0 ? "" : " ") + std::string(kWords[(state >> 16) % std::size(kWords)]);
    }
    text += " " + std::to_string(i) + ".\n";
  }
  return text;
}

struct Tool : Sandbox {
  Args ingest_args(const std::string& name, const Args& more) const {
    Args args = {"ingest", "--json", "--model",        model("qwen2"), "--heads",        heads_file(), "--threads",
                 "2",      name,     "--chunk-tokens", "128",          "--cache-tokens", "128"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  CommandResult ingest(const std::string& name, const Args& more, const CommandInput& input = {}) const {
    return run(ingest_args(name, more), input);
  }
  Json ask(const Args& names, const std::string& question, const Args& more = {}) const {
    Args args = {"ask", "--json", "-n", "6", "--gather-tokens", "40", "--edge-tokens", "8", "--pool-window", "9"};
    args.insert(args.end(), more.begin(), more.end());
    args.insert(args.end(), names.begin(), names.end());
    args.push_back(question);
    const CommandResult r = run(args);
    INFO(r.err << r.out);
    REQUIRE(r.exit_code == 0);
    return Json::parse(r.out);
  }
};

Json object(const CommandResult& r) {
  INFO(r.err);
  Json json = Json::parse(r.out, nullptr, false);
  REQUIRE(json.is_object());
  return json;
}

}  // namespace

TEST_CASE("a context's life: ingested, unchanged, refused, appended, replaced, removed", "[tools]") {
  const Tool tool;
  const std::string first = story(30, 1), second = story(20, 2);
  const std::string a = tool.write("a.txt", first), b = tool.write("b.txt", second);

  Json r = object(tool.ingest("book", {a}));
  CHECK(r["outcome"] == "ingested");
  CHECK(r["context"]["state"] == "complete");
  CHECK(r["context"]["source_bytes"] == first.size());
  CHECK(r["tokens_run"] == r["context"]["n_tokens"]);
  CHECK(r["context"]["bytes_per_token"].get<double>() ==
        Approx(r["context"]["disk_bytes"].get<double>() / r["context"]["n_tokens"].get<double>()));

  r = object(tool.ingest("book", {a}));
  CHECK(r["outcome"] == "unchanged");
  CHECK(r["tokens_run"] == 0);

  CommandResult other = tool.ingest("book", {a, "--policy", "recent", "--sink-tokens", "4"});
  CHECK(object(other)["outcome"] == "unchanged");
  CHECK(other.err.find("policy h2o, not recent; --replace") != std::string::npos);
  CHECK(tool.ingest("book", {a, "--policy", "h2o"}).err.find("keeps what it was") == std::string::npos);

  const CommandResult refused = tool.ingest("book", {b});
  CHECK(refused.exit_code == 7);
  CHECK(object(refused)["error"]["name"] == "exists");

  r = object(tool.ingest("book", {b, "--append"}));
  CHECK(r["outcome"] == "appended");
  CHECK(r["context"]["source_bytes"] == first.size() + second.size());
  CHECK(r["context"]["files"].size() == 2);

  r = object(tool.ingest("book", {b, "--replace"}));
  CHECK(r["outcome"] == "replaced");
  CHECK(r["context"]["source_bytes"] == second.size());

  CHECK(object(tool.run({"contexts", "--json"}))["contexts"].size() == 1);
  CHECK(object(tool.run({"show", "book", "--json"}))["context"]["name"] == "book");
  // What cannot be done for all names is done for none.
  CHECK(tool.run({"rm", "book", "nobody", "--json"}).exit_code == 3);
  CHECK(tool.run({"rm", "book", "book", "--json"}).exit_code == 2);
  CHECK(object(tool.run({"rm", "book", "--json"}))["removed"] == Json{"book"});
  CHECK(object(tool.run({"contexts", "--json"}))["contexts"].empty());
  CHECK(tool.run({"ask", "book", "why?"}).exit_code == 3);
}

TEST_CASE("ask: every source is where it says, in the bytes of its file", "[tools]") {
  const Tool tool;
  const std::string texts[] = {story(25, 3), story(31, 4)};
  const std::string paths[] = {tool.write("one.txt", texts[0]), tool.write("two.txt", texts[1])};
  REQUIRE(tool.ingest("pair", {paths[0], paths[1]}).exit_code == 0);
  const Json r = tool.ask({"pair"}, "Where is the blue gate?", {"--show-prompt"});

  REQUIRE(r["sources"].size() >= 2);
  int n_edges = 0;
  std::pair<size_t, int64_t> before = {0, -1};
  for (const Json& s : r["sources"]) {
    const size_t which = s["file"] == paths[0] ? 0 : 1;
    CHECK(s["file"] == paths[which]);
    const auto begin = s["begin_byte"].get<int64_t>(), end = s["end_byte"].get<int64_t>();
    REQUIRE((0 <= begin && begin < end && end <= int64_t(texts[which].size())));
    CHECK(s["text"] == texts[which].substr(size_t(begin), size_t(end - begin)));
    CHECK(std::pair(which, begin) > before);  // document order, no overlap
    before = {which, end - 1};
    n_edges += s["kind"] == "edge";
    CHECK(s["score"].is_null() == (s["kind"] == "edge"));
  }
  CHECK(n_edges >= 2);
  CHECK(r["gathered_tokens"] == 40);
  CHECK(r["edge_tokens"] == 16);
  const int64_t parts = r["gathered_tokens"].get<int64_t>() + r["edge_tokens"].get<int64_t>() +
                        r["question_tokens"].get<int64_t>() + r["template_tokens"].get<int64_t>();
  CHECK(r["recomputed_tokens"] == parts);
  CHECK(r["timings"]["prompt_n"] == parts);
  CHECK(r["timings"]["predicted_n"].get<int64_t>() <= 6);
  CHECK(r["prompt"].get<std::string>().find("Where is the blue gate?") != std::string::npos);
  CHECK(r["memory_bytes"]["peak_host"].get<int64_t>() > 0);
}

TEST_CASE("an ingest that was stopped goes on, and ends as if it had not been", "[tools]") {
  const Tool tool;
  const std::string text = tool.write("long.txt", story(1500, 5));
  const Json whole = object(tool.ingest("whole", {text}));
  REQUIRE(whole["outcome"] == "ingested");
  for (const int signal : {SIGINT, SIGKILL}) {
    CAPTURE(signal);
    const std::string name = signal == SIGINT ? "interrupted" : "killed";
    CommandInput stop;
    const int64_t before = tool.store_bytes(".log");
    stop.signal_when = [&] { return tool.store_bytes(".log") > before + 60000; };  // some chunks are committed
    stop.signal = signal;
    const CommandResult stopped = tool.ingest(name, {text}, stop);
    CHECK(stopped.exit_code == 128 + signal);
    if (signal == SIGINT) {
      CHECK(object(stopped)["error"]["name"] == "cancelled");
      CHECK(stopped.err.find("tokens are saved; run the same command again") != std::string::npos);
      CHECK(tool.run({"ask", name, "why?"}).exit_code == 8);  // not finished
    }
    const Json r = object(tool.ingest(name, {text}));
    CHECK(r["outcome"] == "resumed");
    CHECK(r["context"]["n_tokens"] == whole["context"]["n_tokens"]);
    Json answers[] = {tool.ask({"whole"}, "Where are the stones?"), tool.ask({name}, "Where are the stones?")};
    CHECK(answers[0]["answer"] == answers[1]["answer"]);
    for (Json& answer : answers) {
      for (Json& source : answer["sources"]) source.erase("context");
    }
    CHECK(answers[0]["sources"] == answers[1]["sources"]);
  }
}

TEST_CASE("a replacement that is killed leaves the old context, goes on, and takes its place", "[tools]") {
  const Tool tool;
  const std::string old_text = tool.write("old.txt", story(40, 21)), text = tool.write("new.txt", story(1200, 22));
  REQUIRE(tool.ingest("book", {old_text}).exit_code == 0);
  const Json whole = object(tool.ingest("whole", {text})), before = tool.ask({"book"}, "Where are the stones?");
  for (const int64_t log_bytes : {1, 50000, 120000}) {
    CommandInput stop;
    const int64_t logged = tool.store_bytes(".log");
    stop.signal_when = [&] { return tool.store_bytes(".log") > logged + log_bytes; };
    stop.signal = log_bytes == 50000 ? SIGINT : SIGKILL;
    CAPTURE(log_bytes);
    const CommandResult stopped = tool.ingest("book", {text, "--replace"}, stop);
    CHECK(stopped.exit_code == 128 + stop.signal);
    if (stop.signal == SIGINT) CHECK(stopped.err.find("stays as it was") != std::string::npos);
    CHECK(tool.ask({"book"}, "Where are the stones?")["sources"] == before["sources"]);
  }
  const Json both = object(tool.run({"contexts", "--json"}))["contexts"];
  REQUIRE(both.size() == 3);
  CHECK((both[0]["name"] == "book" && both[0]["state"] == "complete"));
  CHECK((both[1]["name"] == "book" && both[1]["state"] == "replacement"));
  const Json r = object(tool.ingest("book", {text, "--replace"}));
  CHECK(r["outcome"] == "resumed");
  CHECK(r["context"]["n_tokens"] == whole["context"]["n_tokens"]);
  CHECK(object(tool.run({"contexts", "--json"}))["contexts"].size() == 2);
  Json answers[] = {tool.ask({"whole"}, "Where are the stones?"), tool.ask({"book"}, "Where are the stones?")};
  for (Json& answer : answers) {
    for (Json& source : answer["sources"]) source.erase("context");
  }
  CHECK(answers[0]["sources"] == answers[1]["sources"]);
  CHECK(answers[0]["answer"] == answers[1]["answer"]);
}

TEST_CASE("Ctrl-C ends an ingest that waits for standard input", "[tools]") {
  const Tool tool;
  CommandInput open;
  open.stdin_text = story(3, 6);
  open.stdin_stays_open = true;
  open.signal_when = [&] { return std::filesystem::exists(tool.path("data")); };
  const CommandResult r = tool.ingest("piped", {"-"}, open);
  CHECK_FALSE(r.timed_out);
  CHECK(r.exit_code == 130);
  CHECK(object(r)["error"]["name"] == "cancelled");
}

TEST_CASE("standard input is a text like any other", "[tools]") {
  const Tool tool;
  CommandInput input;
  input.stdin_text = story(12, 7);
  Json r = object(tool.ingest("piped", {"-"}, input));
  CHECK(r["outcome"] == "ingested");
  CHECK(r["context"]["source_bytes"] == input.stdin_text.size());
  CHECK(object(tool.ingest("piped", {"-"}, input))["outcome"] == "unchanged");
}

TEST_CASE("what cannot be read or does not belong is refused with its own code", "[tools]") {
  const Tool tool;
  const std::string good = tool.write("good.txt", story(12, 8));
  const std::string bad = tool.write("bad.txt", "fine \xff\xfe text, long enough to matter");
  CommandResult r = tool.ingest("c", {bad});
  CHECK(r.exit_code == 5);
  CHECK(r.err.find("byte 5") != std::string::npos);
  CHECK(tool.ingest("c", {bad, "--lossy"}).exit_code == 0);
  CHECK(tool.ingest("d", {tool.write("empty.txt", "")}).exit_code == 5);
  CHECK(tool.ingest("d", {good, "--max-host-memory", "200KiB"}).exit_code == 11);
  CHECK(object(tool.run({"contexts", "--json"}))["contexts"].size() == 1);  // the refused ones left nothing

  REQUIRE(tool.ingest("d", {good}).exit_code == 0);
  r = tool.run({"ask", "d", "why?", "--model", model("qwen3")});
  CHECK(r.exit_code == 6);
  CHECK(tool.run({"ask", "d", "d", "why?"}).exit_code == 2);  // named twice
}

TEST_CASE("damage that RocksDB has an assertion for is an error like any other", "[tools]") {
  const Sandbox b;
  REQUIRE(b.run(b.ingest_args("c", {b.write("text", "The mill stands by the river.")})).exit_code == 0);
  std::string log;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(b.path("data")))
    if (entry.path().filename().string().starts_with("MANIFEST-")) log = entry.path();
  const std::string bytes = reform::test::read_file(log);
  reform::test::write_file(log, bytes + bytes.substr(0, 100));
  const CommandResult r = b.run({"verify", "c", "--json"});
  INFO(r.err);
  CHECK(r.exit_code == 9);
  CHECK(Json::parse(r.out)["schema_version"] == 1);
}

TEST_CASE("generate: the same seed gives the same text, streamed and in --json alike", "[tools]") {
  const Tool tool;
  const Args base = {"generate", "--model", model("llama3"), "-n", "12", "--temp", "0.9", "--seed", "7", "a river"};
  Args json = base;
  json.push_back("--json");
  const CommandResult plain = tool.run(base);
  REQUIRE(plain.exit_code == 0);
  const Json r = object(tool.run(json));
  CHECK(plain.out == r["text"].get<std::string>() + "\n");
  CHECK(r["timings"]["predicted_n"].get<int64_t>() <= 12);
  const Args from_file = {"generate",
                          "--model",
                          model("llama3"),
                          "-n",
                          "12",
                          "--temp",
                          "0.9",
                          "--seed",
                          "7",
                          "--file",
                          tool.write("p.txt", "a river")};
  CHECK(tool.run(from_file).out == plain.out);
}

TEST_CASE("an answer or a text that is empty is never silent", "[tools]") {
  const Tool tool;
  REQUIRE(tool.ingest("book", {tool.write("book.txt", story(20, 5))}).exit_code == 0);
  const Args calls[] = {{"ask", "--chat-template", "chatml", "book", "Where is the gate?"},
                        {"generate", "--model", model("llama3"), "the gate"}};
  const std::string says = " is empty: the limit on new tokens came before any readable text]";
  for (const Args& call : calls) {
    CAPTURE(call[0]);
    Args args = call;
    args.insert(args.begin() + 1, {"-n", "0"});
    CHECK(tool.run(args).err.find((call[0] == "ask" ? "[the answer" : "[the text") + says) != std::string::npos);
    args.push_back("--json");
    CHECK(object(tool.run(args))["empty_because"] == "length");
    args[2] = "6";
    CommandResult full = tool.run(args);
    CHECK(object(full)["empty_because"] == "");
    CHECK(full.err.find("is empty") == std::string::npos);
  }
}
