// reform verify, export and import from outside.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tests/support/files.h"
#include "tests/support/skip.h"
#include "tests/tools/command.h"

using namespace reform;
using namespace reform::test;
using Json = nlohmann::json;
using Args = std::vector<std::string>;
namespace fs = std::filesystem;

namespace {

std::string tiny(const std::string& name) { return golden_path("tiny_" + name + ".gguf"); }

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Bench : Sandbox {
  Bench() {
    std::string text;
    for (int i = 0; i < 300; ++i) text += "word " + std::to_string(i * 7919 % 1000) + (i % 9 == 8 ? ".\n" : " ");
    ingest("book", write("text.txt", text));
  }
  void ingest(const std::string& name, const std::string& file, const Args& more = {}) const {
    Args args = {"ingest",         "--model", tiny("qwen2"),    "-t",  "1",  "--heads", heads_file(),
                 "--cache-tokens", "128",     "--chunk-tokens", "128", name, file};
    args.insert(args.end(), more.begin(), more.end());
    const CommandResult r = run(args);
    INFO(r.err);
    REQUIRE(r.exit_code == 0);
  }
  Json json(Args args, int code = 0) const {
    args.push_back("--json");
    const CommandResult r = run(args);
    INFO(r.err << r.out);
    REQUIRE(r.exit_code == code);
    return Json::parse(r.out);
  }
  // Its answer and sources, without the name.
  Json answer(const std::string& name, const Args& more = {}) const {
    Args args = {"ask", name, "which word?", "-n", "4", "--gather-tokens", "40", "--edge-tokens", "8"};
    args.insert(args.end(), more.begin(), more.end());
    Json a = json(args);
    for (Json& source : a["sources"]) source.erase("context"), source.erase("file");
    return {a["answer"], a["sources"], a["recomputed_tokens"]};
  }
  void damage(const std::string& suffix) const {
    for (const auto& entry : fs::recursive_directory_iterator(path("data"))) {
      if (!entry.path().string().ends_with(suffix) || entry.file_size() < 5000) continue;
      std::string bytes = read(entry.path().string());
      bytes[bytes.size() / 2] = char(bytes[bytes.size() / 2] ^ 1);
      std::ofstream(entry.path(), std::ios::binary) << bytes;
    }
  }
};

void check_refused(const CommandResult& r, int code, const Args& says) {
  INFO(r.err << r.out);
  CHECK(r.exit_code == code);
  REQUIRE(r.err.find("reform: error: ") != std::string::npos);
  for (const std::string& piece : says) {
    CAPTURE(piece);
    CHECK(r.err.find(piece) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("export and import: through a file and through a pipe, the copy answers as the original does", "[tools]") {
  const Bench b;
  const std::string file = b.path("book.reform"), other = b.path("other");
  const Json exported = b.json({"export", "book", file});
  CHECK(exported["archive_bytes"] == int64_t(fs::file_size(file)));
  const CommandResult piped = b.run({"export", "book", "-"});
  CHECK(piped.exit_code == 0);
  CHECK((piped.out == read(file)));
  CHECK(piped.err.find(exported["xxh3_128"].get<std::string>()) != std::string::npos);

  const Json imported = b.json({"import", file, "--store", other, "--model", tiny("qwen2")});
  CHECK(imported["outcome"] == "imported");
  CHECK(imported["xxh3_128"] == exported["xxh3_128"]);
  CHECK(imported["context"]["name"] == "book");
  CHECK(imported["context"]["state"] == "complete");
  CHECK(imported["context"]["files"] == Json{"text.txt"});
  CHECK(imported["context"]["model"]["path"] == tiny("qwen2"));
  CHECK(b.json({"verify", "--store", other})["contexts"][0]["state"] == "ok");
  CHECK(b.answer("book", {"--store", other}) == b.answer("book"));

  CommandInput input;
  input.stdin_text = piped.out;
  REQUIRE(b.run({"import", "-", "--as", "copy"}, input).exit_code == 0);
  CHECK(b.json({"contexts"})["contexts"].size() == 2);
  CHECK(b.json({"import", file, "--as", "copy"})["outcome"] == "unchanged");
  check_refused(b.run({"ask", "copy", "why?"}), 3, {"copy", "imported without its model", "--model"});
  CHECK(b.answer("copy", {"--model", tiny("qwen2")}) == b.answer("book"));
  CHECK(b.run({"show", "copy"}).out.find("not known") != std::string::npos);
}

TEST_CASE("export: what it does not do, and what it leaves alone", "[tools]") {
  const Bench b;
  const std::string file = b.write("there", "old");
  check_refused(b.run({"export", "book", file}), 7, {file, "--force"});
  CHECK(read(file) == "old");
  CHECK(b.run({"export", "book", file, "--force"}).exit_code == 0);
  CHECK(read(file).size() > 1000);
  check_refused(b.run({"export", "book", b.path("")}), 2, {"directory"});
  const std::string store = b.json({"contexts"})["store"];
  for (const auto& one : fs::directory_iterator(store + "/contexts"))
    check_refused(b.run({"export", "book", one.path() / "context.json", "--force"}), 2, {"lies in the store"});
  check_refused(b.run({"export", "book", store + "/mine.reform"}), 2, {"lies in the store"});
  check_refused(b.run({"export", "book", "/dev/null", "--force"}), 2, {"not a regular file"});
  for (const char* where : {"/dev/stdout > out", "/dev/fd/2 2> out", "out --json > out"}) {
    const CommandResult r = b.shell(std::string("cd '") + b.path("") + "'; $REFORM export --force book " + where +
                                    "; code=$?; cat out; exit $code");
    CAPTURE(where, r.out);
    CHECK(r.exit_code == 2);
    CHECK((r.out + r.err).find("goes there already; name another file, or '-'") != std::string::npos);
  }
  CHECK(b.shell("cd '" + b.path("") + "'; $REFORM heads --model " + tiny("qwen2") + " --out /dev/stdout > out")
            .exit_code == 2);
  check_refused(b.run({"heads", "--model", tiny("qwen2"), "--out", "/dev/stdout"}), 2, {"goes there already"});
  check_refused(b.run({"heads", "--model", tiny("qwen2"), "--out", "-"}), 2, {"the heads go to a file"});
  check_refused(b.run({"export", "book", b.path("none/file")}), 3, {"none"});
  check_refused(b.run({"export", "book", "-", "--json"}), 2, {"--json"});
  // The reader goes away early.
  const std::string command = std::string("XDG_DATA_HOME=") + b.path("data") + " " + REFORM_BINARY +
                              " export book - 2>/dev/null | head -c 10 >/dev/null; exit ${PIPESTATUS[0]}";
  const int status = std::system(("bash -c '" + command + "'").c_str());
  CHECK((WEXITSTATUS(status) == 141 || WEXITSTATUS(status) == 0));  // 0: the pipe took all of it
  for (const auto& entry : fs::directory_iterator(b.path("")))
    CHECK(entry.path().string().find("partial") == std::string::npos);
}

TEST_CASE("import: what is refused, and that nothing stays of it", "[tools]") {
  const Bench b;
  const std::string file = b.path("book.reform");
  REQUIRE(b.run({"export", "book", file}).exit_code == 0);
  const std::string good = read(file);
  CHECK(b.json({"import", file})["outcome"] == "unchanged");  // it is there already
  b.ingest("other", b.write("other.txt", "Other words stand here."));
  REQUIRE(b.run({"export", "other", b.path("other.reform")}).exit_code == 0);
  check_refused(b.run({"import", b.path("other.reform"), "--as", "book"}), 7, {"\"book\"", "other contents", "--as"});
  REQUIRE(b.run({"rm", "other"}).exit_code == 0);
  check_refused(b.run({"import", file, "--as", "a\nb"}), 2, {"name"});
  check_refused(b.run({"import", file, "--as", "x", "--model", tiny("qwen3")}), 6, {"tiny_qwen3.gguf"});
  check_refused(b.run({"import", b.path("")}), 2, {"directory"});
  check_refused(b.run({"import", b.path("text.txt"), "--as", "x"}), 9, {"text.txt", "no export"});
  check_refused(b.run({"import", "/dev/null", "--as", "x"}), 9, {"empty"});
  check_refused(b.run({"import", b.write("cut", good.substr(0, good.size() / 2)), "--as", "x"}), 9, {"cut short"});
  std::string bad = good;
  bad[bad.size() / 2] = char(bad[bad.size() / 2] ^ 1);
  check_refused(b.run({"import", b.write("bad", bad), "--as", "x"}), 9, {"bad", "checksum"});
  bad = good;
  bad[8] = 2;
  check_refused(b.run({"import", b.write("newer", bad), "--as", "x"}), 9, {"version 2", "newer reform"});
  CommandInput stopped;
  stopped.stdin_text = good.substr(0, 20'000);
  stopped.stdin_stays_open = true;
  const std::string trash = b.path("data/reform/trash");
  stopped.signal_when = [&] { return fs::exists(trash) && !fs::is_empty(trash); };  // it is being built
  stopped.signal = SIGHUP;
  const CommandResult r = b.run({"import", "-", "--as", "x"}, stopped);
  CHECK(r.exit_code == 130);
  CHECK(r.err.find("interrupted; nothing was imported") != std::string::npos);
  CHECK(b.json({"contexts"})["contexts"].size() == 1);
  CHECK(fs::is_empty(trash));
}

TEST_CASE("export and import onto a full disk are said, and nothing of them stays", "[tools]") {
  const Bench b;
  const std::string small = b.path("small"), file = b.path("long.reform");
  fs::create_directory(small);
  std::string text;
  for (int i = 0; i < 12000; ++i) text += "word " + std::to_string(i * 7919 % 1000) + " ";
  b.ingest("long", b.write("long.txt", text));
  REQUIRE(b.run({"export", "long", file}).exit_code == 0);
  const int code = run_on_small_disk(small, "1m",
                                     REFORM_BINARY " import " + file + " --store " + small + " 2>" + b.path("err") +
                                         "; code=\\$?; find " + small + "/contexts " + small + "/trash -mindepth 1 >" +
                                         b.path("left") + "; exit \\$code");
  if (code == -1) return skip("no small disk can be mounted here");
  CHECK(code == 10);
  CHECK(read(b.path("left")).empty());
  CHECK(run_on_small_disk(small, "1m",
                          "XDG_DATA_HOME=" + b.path("data") + " " REFORM_BINARY " export long " + small + "/out 2>" +
                              b.path("err") + "; code=\\$?; ls " + small + " >" + b.path("left") + "; exit \\$code") ==
        10);
  CHECK(read(b.path("err")).find("the disk is full; make room") != std::string::npos);
  CHECK(read(b.path("left")).empty());
}

TEST_CASE("verify: says of each context how it is, with an exit code", "[tools]") {
  const Bench b;
  const std::string more = b.write("more.txt", "One more text, which is short.");
  b.ingest("other", more);
  const CommandResult fine = b.run({"verify"});
  CHECK(fine.exit_code == 0);
  CHECK(fine.out.find("book: ok") != std::string::npos);
  CHECK(fine.out.find("other: ok") != std::string::npos);

  // The lock that a writer holds (docs/FORMAT.md).
  const std::string id = b.json({"show", "other"})["context"]["id"];
  const int fd = ::open(b.path("data/reform/locks/" + id).c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE((fd >= 0 && ::flock(fd, LOCK_EX | LOCK_NB) == 0));
  CHECK(b.json({"verify"})["contexts"][1]["state"] == "busy");
  CHECK(b.run({"verify", "book"}).exit_code == 0);
  const CommandResult busy = b.run({"verify", "other"});
  CHECK(busy.exit_code == 8);
  CHECK(busy.err.find("\"other\"") != std::string::npos);
  ::close(fd);

  // What cannot be read may be whole, and the other contexts are checked.
  const std::string lock = b.path("data/reform/locks/" + id);
  std::filesystem::remove(lock);
  std::filesystem::create_directory(lock);
  const CommandResult unread = b.run({"verify"});
  CHECK(unread.exit_code == 12);
  CHECK(unread.out.find("book: ok") != std::string::npos);
  CHECK(unread.out.find("other: unreadable") != std::string::npos);
  CHECK(unread.err.find(id + ": is a directory where the store keeps a lock file") != std::string::npos);
  CHECK(unread.err.find("reform rm") == std::string::npos);
  CHECK(b.run({"rm", "other"}).exit_code == 12);
  CHECK(b.json({"verify", "other"}, 12)["n_damaged"] == 0);

  b.damage(".blob");
  const CommandResult damaged = b.run({"verify"});
  CHECK(damaged.exit_code == 9);
  CHECK(damaged.out.find("book: damaged") != std::string::npos);
  CHECK(damaged.out.find(".blob fails its checksum") != std::string::npos);
  const Json json = b.json({"verify", "book"}, 9);
  CHECK(json["n_damaged"] == 1);
  CHECK(json["contexts"][0]["n_damages"] >= 1);
  CHECK_FALSE(json.contains("error"));
  CHECK(b.run({"rm", "book"}).exit_code == 0);
}
