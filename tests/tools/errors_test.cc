// An error says what is wrong, where, and what to do. It has its own exit code, and leaves the store as it was.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/files.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/skip.h"
#include "tests/tools/command.h"

using namespace reform;
using namespace reform::test;
using Json = nlohmann::json;
using Args = std::vector<std::string>;

namespace {

std::string tiny(const std::string& name) { return golden_path("tiny_" + name + ".gguf"); }

std::string words(int n) {
  std::string text;
  for (int i = 0; i < n; ++i) text += "word " + std::to_string(i * 7919 % 1000) + (i % 9 == 8 ? ".\n" : " ");
  return text;
}

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Bench : Sandbox {
  const std::string text = write("text.txt", words(300));

  Args ingest_args(const std::string& name, const Args& more, const std::string& model = tiny("qwen2")) const {
    Args args = {"ingest", "--model",        model, "--heads",        heads_file(), "-t",
                 "1",      "--cache-tokens", "128", "--chunk-tokens", "128"};
    args.insert(args.end(), more.begin(), more.end());
    args.insert(args.end(), {"--", name});
    return args;
  }
  CommandResult ingest(const std::string& name, const std::string& file, const Args& more = {}) const {
    Args args = ingest_args(name, more);
    args.push_back(file);
    return run(args);
  }
  int64_t n_contexts() const {
    const Json json = Json::parse(run({"contexts", "--json"}).out);
    return int64_t(json["contexts"].size());
  }
};

// Checks that the error is one line and contains everything in `says`.
void check_refused(const CommandResult& r, int code, const Args& says) {
  INFO(r.err << r.out);
  CHECK(r.exit_code == code);
  const size_t at = r.err.find("reform: error: ");
  REQUIRE(at != std::string::npos);
  const std::string line = r.err.substr(at);
  CHECK(line.find('\n') == line.size() - 1);
  for (const std::string& piece : says) {
    CAPTURE(piece);
    CHECK(line.find(piece) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("files that are no model this program runs: each says why", "[tools]") {
  const Bench b;
  const std::string good = read(tiny("qwen2"));
  std::string big_endian = good;
  std::reverse(big_endian.begin() + 4, big_endian.begin() + 8);
  GgufWriter split, unknown, no_quant;
  split.add("general.architecture", "llama");
  split.add("split.count", uint16_t{3});
  split.add("split.no", uint16_t{1});
  unknown.add("general.architecture", "mamba17");
  no_quant.add("general.architecture", "llama");
  no_quant.add_tensor_info("blk.0.attn_q.weight", 39, {64, 64}, 0);  // MXFP4
  const struct {
    const char* name;
    std::string bytes;
    Args says;
  } cases[] = {{"text.gguf", words(30), {"not a GGUF"}},
               {"empty.gguf", "", {"empty.gguf"}},
               {"half.gguf", good.substr(0, good.size() / 2), {"truncated", "missing"}},
               {"head.gguf", good.substr(0, 100), {"truncated", "byte"}},
               {"big.gguf", big_endian, {"big-endian"}},
               {"split.gguf", split.bytes(), {"part", "3 files", "join"}},
               {"arch.gguf", unknown.bytes(), {"unknown architecture 'mamba17'", "qwen2"}},
               {"quant.gguf", no_quant.bytes(), {"blk.0.attn_q.weight", "unknown quantisation", "Q6_K"}}};
  for (const auto& c : cases) {
    CAPTURE(c.name);
    const std::string path = b.write(c.name, c.bytes);
    Args says = c.says;
    says.push_back(path);
    Args args = b.ingest_args("x", {}, path);
    args.push_back(b.text);
    check_refused(b.run(args), 4, says);
    check_refused(b.run({"generate", "--model", path, "hello"}), 4, says);
  }
  check_refused(b.run({"generate", "--model", b.path(""), "hello"}), 2, {"is a directory"});
  check_refused(b.run({"generate", "--model", b.path("none.gguf"), "hello"}), 3, {"none.gguf"});
  CHECK(b.n_contexts() == 0);
}

TEST_CASE("texts that cannot be read: each says why, and where", "[tools]") {
  const Bench b;
  const std::string bad = b.write("bad.txt", words(40) +
                                                 "Stra\xdf"
                                                 "e");
  const std::string at = "byte " + std::to_string(words(40).size() + 4);
  check_refused(b.ingest("x", bad), 5, {bad, "not UTF-8", at, "--lossy"});
  CHECK(b.ingest("lossy", bad, {"--lossy"}).exit_code == 0);
  check_refused(b.ingest("x", bad, {"--encoding", "latin-nine"}), 2, {"latin-nine", "iconv -l"});
  CHECK(b.ingest("latin", bad, {"--encoding", "latin1"}).exit_code == 0);
  check_refused(b.ingest("latin", bad, {"--append", "--encoding", "UTF-16"}), 2, {"LATIN1", "UTF-16"});
  check_refused(b.ingest("x", b.write("a.pdf", "%PDF-1.4\n")), 5, {"a.pdf", "byte 0", "PDF"});
  check_refused(b.run({"search", "latin", "--file", bad}), 5, {bad, "not UTF-8", at, "--encoding"});
  check_refused(b.ingest("x", b.write("empty.txt", "")), 5, {"empty.txt", "empty"});
  check_refused(b.ingest("x", "/dev/null"), 5, {"/dev/null", "empty"});
  check_refused(b.ingest("x", b.write("white.txt", " \n\t\n")), 5, {"white.txt", "white space alone"});
  Args two = b.ingest_args("x", {});
  two.insert(two.end(), {b.text, b.path("empty.txt")});
  check_refused(b.run(two), 5, {"empty.txt", "empty"});
  check_refused(b.ingest("x", b.path("none.txt")), 3, {"none.txt", "no such file"});
  check_refused(b.ingest("x", b.path("")), 2, {"directory"});
  Args args = b.ingest_args("x", {});
  args.push_back("-");
  check_refused(b.run(args), 5, {"-: the text is empty"});
  CHECK(b.n_contexts() == 2);
  // A bad byte long after chunks were saved: the error names it, and the saved part cannot be asked.
  const std::string late = b.write("late.txt", words(3000) + "\xff");
  check_refused(b.ingest("late", late), 5, {late, "byte " + std::to_string(words(3000).size())});
  CHECK(b.run({"ask", "late", "why?"}).exit_code != 0);
}

TEST_CASE("a named pipe is a text like a file", "[tools]") {
  const Bench b;
  const std::string pipe = b.path("pipe");
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  std::thread writer([&] { std::ofstream(pipe) << words(300); });
  const CommandResult r = b.ingest("piped", pipe, {"--json"});
  writer.join();
  REQUIRE(r.exit_code == 0);
  const CommandResult file = b.ingest("filed", b.text, {"--json"});
  CHECK(Json::parse(r.out)["context"]["n_tokens"] == Json::parse(file.out)["context"]["n_tokens"]);
}

TEST_CASE("names: what is no name is refused before any work, any other is only a name", "[tools]") {
  const Bench b;
  const std::string long_name(129, 'n');
  for (const std::string& name :
       {std::string(), long_name, std::string("a\nb"), std::string("\xff\xfe"), std::string("."), std::string("../x"),
        std::string("/etc/passwd"), std::string(" a")}) {
    CAPTURE(name);
    check_refused(b.ingest(name, b.text), 2, {"context's name"});
  }
  const std::string names[] = {"...", "-n", "名前 😀", "a b", std::string(128, 'n'), "context.json"};
  for (const std::string& name : names) {
    CAPTURE(name);
    REQUIRE(b.ingest(name, b.text).exit_code == 0);
    const CommandResult r = b.run({"show", "--json", "--", name});
    CHECK(Json::parse(r.out)["context"]["name"] == name);
  }
  CHECK(b.n_contexts() == int64_t(std::size(names)));
  CHECK_FALSE(std::filesystem::exists(b.path("data/x")));
  for (const std::string& name : names) CHECK(b.run({"rm", "--", name}).exit_code == 0);
  CHECK(b.n_contexts() == 0);
}

TEST_CASE("ask: questions and options that cannot work", "[tools]") {
  const Bench b;
  REQUIRE(b.ingest("c", b.text).exit_code == 0);
  for (const char* question : {"", " \t\n\x1b"}) check_refused(b.run({"ask", "c", question}), 2, {"question is empty"});
  std::string long_question;
  for (int i = 0; i < 3000; ++i) long_question += "why ";
  check_refused(b.run({"ask", "c", long_question}), 2, {"question", "window of 1024"});
  const Args base = {"ask", "c", "why?", "-n", "3", "--json"};
  const auto with = [&](const Args& more) {
    Args args = base;
    args.insert(args.end(), more.begin(), more.end());
    return b.run(args);
  };
  check_refused(with({"--gather-tokens", "99999"}), 2, {"window", "--gather-tokens"});
  check_refused(with({"--gather-tokens", "2000000"}), 2, {"--gather-tokens", "0 to 1048576"});
  const CommandResult edges = with({"--gather-tokens", "0", "--edge-tokens", "5"});
  REQUIRE(edges.exit_code == 0);
  const Json only_edges = Json::parse(edges.out)["sources"];
  for (const Json& source : only_edges) CHECK(source["kind"] == "edge");
  const CommandResult bare = with({"--gather-tokens", "0", "--edge-tokens", "0"});
  REQUIRE(bare.exit_code == 0);
  CHECK(Json::parse(bare.out)["sources"].empty());
  check_refused(b.run({"ask", "c", "why?", "-n", "-1"}), 2, {"--predict", "0 to 1048576"});
  check_refused(b.run({"ask", "nobody", "why?"}), 3, {"nobody", "\"c\""});  // lists those that exist
}

TEST_CASE("ask: contexts of different models, and a model that has moved", "[tools]") {
  const Bench b;
  const std::string moved = b.write("moved.gguf", read(tiny("qwen2")));
  Args args = b.ingest_args("a", {}, moved);
  args.push_back(b.text);
  REQUIRE(b.run(args).exit_code == 0);
  args = b.ingest_args("b", {}, tiny("qwen3"));
  args.push_back(b.text);
  REQUIRE(b.run(args).exit_code == 0);
  check_refused(b.run({"ask", "a", "b", "why?"}), 6, {"'b'", "tiny_qwen3.gguf", "one by one"});
  check_refused(b.run({"ask", "b", "why?", "--model", moved}), 6, {"'b'", "tiny_qwen3.gguf", "moved.gguf"});
  check_refused(b.ingest("b", b.text), 6, {"'b'", "tiny_qwen3.gguf", "--replace"});
  std::filesystem::rename(moved, b.path("here.gguf"));
  check_refused(b.run({"ask", "a", "why?"}), 3, {"moved.gguf", "--model"});
  CHECK(b.run({"ask", "a", "why?", "-n", "2", "--gather-tokens", "20", "--edge-tokens", "4", "--model",
               b.path("here.gguf")})
            .exit_code == 0);
}

TEST_CASE("a context that another process writes can be neither written, asked nor removed", "[tools]") {
  const Bench b;
  REQUIRE(b.ingest("busy", b.text).exit_code == 0);
  const auto context = std::filesystem::directory_iterator(b.path("data/reform/contexts"))->path();
  // The lock that a writer holds (docs/FORMAT.md).
  const std::string lock = b.path("data/reform/locks/" + context.filename().string());
  const int fd = ::open(lock.c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE((fd >= 0 && ::flock(fd, LOCK_EX | LOCK_NB) == 0));
  for (const Args& more : {Args{}, Args{"--append"}, Args{"--replace"}})
    check_refused(b.ingest("busy", b.text, more), 8, {"\"busy\"", "process"});
  check_refused(b.run({"ask", "busy", "why?"}), 8, {"busy", "process"});
  check_refused(b.run({"rm", "busy"}), 8, {"\"busy\"", "process"});
  ::close(fd);
  CHECK(b.run({"rm", "busy"}).exit_code == 0);
}

// The disk has 3 MiB, in a mount namespace of its own.
TEST_CASE("a full disk is said, with an exit code of its own", "[tools]") {
  const Bench b;
  const std::string small = b.path("small");
  std::filesystem::create_directory(small);
  std::string script = "exec " REFORM_BINARY;
  for (const std::string& arg : b.ingest_args("full", {"--store", small})) script += " '" + arg + "'";
  script += " " + b.write("long.txt", words(12000)) + " 2>" + b.path("err");
  const int code = run_on_small_disk(small, "3m", script);
  if (code == -1) return skip("no small disk can be mounted here");
  CHECK(code == 10);
  CHECK(read(b.path("err")).find("full") != std::string::npos);
  CHECK(read(b.path("err")).find("IO error") == std::string::npos);

  // What a search for heads computes lies in the cache, and is not left on a disk that it fills.
  const std::string heads =
      b.write("heads.sh", "export XDG_CACHE_HOME=" + small + "; " REFORM_BINARY " heads -q --model " + tiny("qwen2") +
                              " --questions 400 2>" + b.path("err") + "\ncode=$?\ntest -z \"$(find " + small +
                              " -name '*.features')\" || code=99\nexit $code\n");
  CHECK(run_on_small_disk(small, "3m", "sh " + heads) == 10);
  CHECK(read(b.path("err")).find(".features") != std::string::npos);
}

TEST_CASE("the cap on memory: refused beforehand with what was asked and what would do", "[tools]") {
  const Bench b;
  check_refused(b.ingest("c", b.text, {"--max-host-memory", "100KiB"}), 11, {"weights", "--max-host-memory"});
  const Args generate = {"generate", "--model", tiny("qwen2"), "-n", "1", "word", "--max-host-memory"};
  const auto with_cap = [&](const std::string& cap) {
    Args args = generate;
    args.push_back(cap);
    return b.run(args);
  };
  check_refused(with_cap("10"), 11, {"needs", "the cap is 10 B", "a larger --max-host-memory"});
  // What is said to be needed is enough.
  const std::string needs = with_cap("400KiB").err;
  double mib = 0;
  const size_t figure = needs.find("this needs ");
  REQUIRE(figure != std::string::npos);
  REQUIRE(std::sscanf(needs.c_str() + figure, "this needs %lf MiB and", &mib) == 1);
  CHECK(with_cap(std::to_string(mib) + "MiB").exit_code == 0);
  check_refused(b.ingest("c", b.text, {"--max-host-memory", "1MiB"}), 11,
                {"needs", "the cap is 1.0 MiB", "tokens", "a larger --max-host-memory would fit"});
  check_refused(b.run({"heads", "--model", tiny("qwen2"), "--max-host-memory", "1MiB"}), 11,
                {"needs", "the cap is 1.0 MiB", "fewer --questions or a larger --max-host-memory"});
  CHECK(b.n_contexts() == 0);
  REQUIRE(b.ingest("c", b.text).exit_code == 0);
  check_refused(b.ingest("d", b.text, {"--max-host-memory", "1MiB"}), 11, {"needs", "the cap is 1.0 MiB"});
  for (const char* verb : {"ask", "search"})
    check_refused(b.run({verb, "c", "why?", "--max-host-memory", "1MiB"}), 11, {"needs", "the cap is 1.0 MiB"});

  // What the error says would fit does fit.
  const Args tight = {"--max-host-memory", "112MiB", "--chunk-tokens", "8192", "--cache-tokens", "8192"};
  Args large = {"ingest", "--model", tiny("qwen2"), "--heads", b.heads_file(), "large", b.text};
  large.insert(large.end(), tight.begin(), tight.end());
  const CommandResult refused = b.run(large);
  check_refused(refused, 11, {"the cap is 112.0 MiB", "would fit"});
  const size_t says = refused.err.find(": --chunk-tokens ");
  REQUIRE(says != std::string::npos);
  int chunk = 0, cache = 0;
  REQUIRE(std::sscanf(refused.err.c_str() + says, ": --chunk-tokens %d --cache-tokens %d", &chunk, &cache) == 2);
  CHECK((chunk < 8192 && chunk >= 64 && cache == chunk));
  large[large.size() - 3] = std::to_string(chunk), large.back() = std::to_string(cache);
  CHECK(b.run(large).exit_code == 0);
  check_refused(b.ingest("none", b.text, {"--max-host-memory", "20MiB"}), 11,
                {"none is small enough: with --chunk-tokens 64 --cache-tokens 64 this needs ", " MiB; "});

  // Every accepted cap holds: the peaks of all categories together, the store's included, stay below it.
  int n_accepted = 0;
  for (const int64_t cap_mib : {20, 40, 60, 75, 90}) {
    CAPTURE(cap_mib);
    const std::string cap = std::to_string(cap_mib) + "MiB";
    const CommandResult results[] = {
        b.ingest("c", b.text, {"--json", "--replace", "--max-host-memory", cap}),
        b.run({"ask", "c", "why?", "-n", "2", "--gather-tokens", "90", "--json", "--max-host-memory", cap}),
        b.run({"search", "c", "why?", "--json", "--max-host-memory", cap})};
    for (const CommandResult& r : results) {
      if (r.exit_code == 11) continue;
      REQUIRE(r.exit_code == 0);
      ++n_accepted;
      int64_t sum = 0;
      const Json memory = Json::parse(r.out)["memory_bytes"];
      for (const auto& [key, bytes] : memory.items()) sum += key.starts_with("peak") ? 0 : bytes.get<int64_t>();
      CHECK(sum <= cap_mib << 20);
    }
  }
  CHECK((n_accepted > 3 && n_accepted < 15));
  // Questions that are held count, too.
  std::string questions;
  for (int i = 0; i < 20000; ++i) questions += "why " + std::to_string(i) + "?\n";
  const std::string many = b.write("questions", questions);
  CHECK(b.run({"search", "c", "why?", "--max-host-memory", "48MiB"}).exit_code == 0);
  check_refused(b.run({"search", "c", "--file", many, "--max-host-memory", "48MiB"}), 11, {"needs"});
}
