// What the system refuses is told apart, in words and in exit codes, wherever a file or a folder is named.
#include "tests/support/files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/skip.h"
#include "tests/tools/command.h"

using namespace reform;
using namespace reform::test;
using Args = std::vector<std::string>;
using Json = nlohmann::json;

namespace {

struct Files : Sandbox {
  const std::string model = golden_path("tiny_qwen2.gguf"), heads = heads_file();
  const std::string text = write("text.txt", "The mill stands by the river.");
};

Args with(Args args, const Args& more) {
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

}  // namespace

TEST_CASE("what the system refuses has its own words and exit code, for every kind of file", "[tools]") {
  const Files f;
  REQUIRE(f.run(f.ingest_args("c", {f.text})).exit_code == 0);
  const std::string loop = f.path("loop"), folder = f.path("folder");
  std::filesystem::create_symlink(loop, loop);
  std::filesystem::create_directory(folder);

  const struct {
    std::string path;
    int exit_code;
    std::string says;
  } refusals[] = {{f.path("none/x"), 3, "no such file"},
                  {f.text + "/x", 3, "not a directory"},
                  {folder, 2, "is a directory"},
                  {loop, 12, "symbolic links lead in a circle"},
                  {f.path(std::string(300, 'n')), 12, "too long"}};
  using Use = std::function<Args(const std::string& path)>;
  const Use text = [&](const std::string& path) { return f.ingest_args("x", {path}); };
  const Use model = [](const std::string& path) { return Args{"generate", "--model", path, "hello"}; };
  const Use moved_model = [](const std::string& path) { return Args{"search", "c", "mill?", "--model", path}; };
  const Use heads = [&](const std::string& path) {
    return Args{"ingest", "-t", "1", "--model", f.model, "--heads", path, "x", f.text};
  };
  const Use heads_out = [&](const std::string& path) { return Args{"heads", "--model", f.model, "--out", path}; };
  const Use questions = [](const std::string& path) { return Args{"search", "c", "--file", path}; };
  const Use archive_out = [](const std::string& path) { return Args{"export", "--force", "c", path}; };
  const Use archive_in = [](const std::string& path) { return Args{"import", "--as", "x", path}; };
  for (const Use& use : {text, model, moved_model, heads, heads_out, questions, archive_out, archive_in}) {
    for (const auto& refusal : refusals) {
      const Args args = use(refusal.path);
      const CommandResult r = f.run(args);
      INFO(args[0] << " " << refusal.path << ": " << r.err);
      CHECK(r.exit_code == refusal.exit_code);
      CHECK(r.err.find(refusal.says) != std::string::npos);
      CHECK(r.err.find(refusal.path) != std::string::npos);
    }
  }
  // Where heads cannot be written is known before the search, which takes minutes.
  const std::string dangling = f.path("dangling");
  std::filesystem::create_symlink("none/x", dangling);
  const CommandResult r = f.run(heads_out(dangling));
  CHECK(r.exit_code == 3);
  CHECK(r.err.find(dangling + ": cannot be written: no such file") != std::string::npos);
}

TEST_CASE("a store that cannot be one says why, to verbs that read and to verbs that write", "[tools]") {
  const Files f;
  const std::string loop = f.path("loop");
  std::filesystem::create_symlink(loop, loop);
  const struct {
    std::string path;
    int exit_code;
    std::string says;
  } refusals[] = {{f.text, 2, "is a file"},
                  {f.text + "/x", 3, "ot a directory"},
                  {f.path("none/../x"), 3, "cannot find " + f.path("none/..") + ": no such file"},
                  {loop, 12, "circle"},
                  {f.path(std::string(300, 'n')), 12, "too long"}};
  for (const auto& refusal : refusals) {
    for (const Args& verb : {Args{"contexts"}, Args{"show", "c"}, Args{"search", "c", "mill?"}, Args{"rm", "c"},
                             Args{"verify"}, Args{"doctor"}, f.ingest_args("c", {f.text})}) {
      const CommandResult r = f.run(with(verb, {"--store", refusal.path}));
      INFO(verb[0] << " " << refusal.path << ": " << r.err);
      CHECK(r.exit_code == refusal.exit_code);
      CHECK(r.err.find(refusal.says) != std::string::npos);
    }
  }
}

TEST_CASE("a store's '..' is above where a link leads, for every verb", "[tools]") {
  const Files f;
  std::filesystem::create_directories(f.path("real/deep"));
  std::filesystem::create_directory(f.path("reform"));  // what the text of the paths below would mean
  std::filesystem::create_directory_symlink("real/deep", f.path("link"));
  REQUIRE(f.run(with(f.ingest_args("c", {f.text}), {"--store", f.path("link/../reform")})).exit_code == 0);
  CHECK(f.run({"show", "c", "--store", f.path("real/reform")}).exit_code == 0);
  CHECK(f.shell("XDG_DATA_HOME=" + f.path("link/..") + " \"$REFORM\" show c").exit_code == 0);
  CHECK(f.run({"rm", "c", "--store", f.path("./link//../deep/../reform/.")}).exit_code == 0);
  CHECK(f.run({"show", "c", "--store", f.path("real/reform")}).exit_code == 3);
  CHECK(std::filesystem::is_empty(f.path("reform")));
}

TEST_CASE("a store on a read-only file system can be read, and says why it cannot be written", "[tools]") {
  const Files f;
  const std::string made = f.path("made"), disk = f.path("disk");
  std::filesystem::create_directory(disk);
  REQUIRE(f.run(with(f.ingest_args("c", {f.text}), {"--store", made})).exit_code == 0);
  // As a copy to a medium without empty files and folders would leave it.
  REQUIRE(std::filesystem::remove_all(made + "/locks") > 0);
  REQUIRE(std::filesystem::remove(made + "/trash"));
  REQUIRE(std::filesystem::remove(made + "/store.json"));
  const std::string reform = REFORM_BINARY, store = " --store " + disk;
  const std::string ingest = reform + " ingest -q -t 1 --model " + f.model + " --heads " + f.heads + store;
  const std::string script = "XDG_CACHE_HOME=" + f.path("cache") + "; export XDG_CACHE_HOME; cp -a " + made + "/. " +
                             disk + " && mount -o remount,ro " + disk + " && " + reform + " contexts" + store +
                             " >&2 && " + reform + " search c mill?" + store + " >&2 && " + reform + " verify" + store +
                             " >&2 && " + reform + " export --force c " + f.path("c.reform") + store + " >&2 && ! " +
                             ingest + " new " + f.text + " 2> " + f.path("said") + " && grep -q read-only " +
                             f.path("said") + " && { " + ingest + " new " + f.text + "; test \\$? = 12; }";
  const int status = run_on_small_disk(disk, "16m", script);
  if (status < 0) return skip("no mount namespace here");
  CHECK(status == 0);
}

TEST_CASE("a directory: its texts in the order of their paths, the rest left out with a remark", "[tools]") {
  const Files f;
  const std::string tree = f.path("tree");
  for (const char* folder : {"/a", "/b/old", "/.git"}) std::filesystem::create_directories(tree + folder);
  std::filesystem::create_directories(f.path("wide"));
  for (const char* name : {"/a/x.md", "/a.txt", "/a-b.md", "/b/na me.md", "/b/old/gone.md"})
    f.write("tree" + std::string(name), "The mill of " + std::string(name) + "\n");
  f.write("tree/.git/config", "hidden");
  f.write("tree/empty.md", ""), f.write("tree/white.md", " \n\n");
  f.write("tree/nul.bin", std::string("a\0b", 3));
  f.write("tree/report.pdf", "%PDF-1.7 and words");
  std::string noise;
  for (int i = 0; i < 999; ++i) noise += char(1 + i * 7919 % 255);
  f.write("tree/b/noise", noise);
  std::filesystem::create_directory_symlink("..", tree + "/b/loop");
  REQUIRE(::mkfifo((tree + "/pipe").c_str(), 0600) == 0);

  const auto ingested = [&](const std::string& name, const Args& more) {
    const CommandResult r = f.run(with(f.ingest_args(name, more), {"--json"}));
    INFO(r.err << r.out);
    REQUIRE(r.exit_code == 0);
    return Json::parse(r.out);
  };
  const Json all = ingested("all", {"-r", tree + "/"});
  CHECK(all["context"]["files"] ==
        Json({tree + "/a-b.md", tree + "/a.txt", tree + "/a/x.md", tree + "/b/na me.md", tree + "/b/old/gone.md"}));
  std::map<std::string, Json> left;
  for (const Json& kind : all["left_out"]) left[kind["why"]] = Json({kind["files"], kind["first"]});
  CHECK(left == std::map<std::string, Json>{{"binary", Json({3, tree + "/b/noise"})},
                                            {"empty", Json({2, tree + "/empty.md"})},
                                            {"hidden", Json({1, tree + "/.git"})},
                                            {"link", Json({1, tree + "/b/loop"})},
                                            {"special", Json({1, tree + "/pipe"})}});
  const CommandResult said = f.run(f.ingest_args("all", {"-r", tree}));
  CHECK(said.err.find("3 binary files (" + tree + "/b/noise, …), 2 empty files (" + tree + "/empty.md, …)") !=
        std::string::npos);
  CHECK(said.out.find("already there") != std::string::npos);

  const auto chosen = [&](const std::string& name, const Args& globs) {
    return ingested(name, with({"-r", tree}, globs))["context"]["files"];
  };
  CHECK(chosen("md", {"--include", "*.md", "--exclude", "old/"}) ==
        Json({tree + "/a-b.md", tree + "/a/x.md", tree + "/b/na me.md"}));
  CHECK(chosen("path", {"--include", "b/*.md", "--include", "a.txt"}) == Json({tree + "/a.txt", tree + "/b/na me.md"}));
  const CommandResult none = f.run(f.ingest_args("none", {"-r", tree, "--include", "*.pdf"}));
  CHECK(none.exit_code == 5);
  CHECK(none.err.find("no text to read in " + tree) != std::string::npos);
  CHECK(none.err.find("but no --include fits (*.pdf)") != std::string::npos);
  for (const char* glob : {"[a", "a[!]", "a\\"}) {
    const CommandResult bad = f.run(f.ingest_args("none", {"-r", tree, "--exclude", glob}));
    CHECK(bad.exit_code == 2);
    CHECK(bad.err.find("--exclude '" + std::string(glob) + "'") != std::string::npos);
  }
  CHECK(f.run(f.ingest_args("none", {"-r", tree, "--include", "old/"})).exit_code == 2);
  for (const char* glob : {"[]a]*", "[!x]", "\\[a"})
    CHECK(f.run(f.ingest_args("none", {"-r", tree, "--include", glob})).err.find("'['") == std::string::npos);
  f.write("wide/text", std::string("T\0h\0e\0 \0m\0i\0l\0l\0", 16));
  CHECK(ingested("wide", {"-r", f.path("wide"), "--encoding", "UTF-16LE"})["context"]["files"] ==
        Json({f.path("wide") + "/text"}));
  CHECK(f.run(f.ingest_args("narrow", {"-r", f.path("wide"), "--encoding", "utf8"})).exit_code == 5);
  CHECK(f.run(f.ingest_args("plain", {tree})).err.find(tree + ": is a directory; -r reads what is in it") !=
        std::string::npos);
}

TEST_CASE("the store's own files are no texts, by whatever path, and left out below a directory", "[tools]") {
  const Files f;
  const std::string store = f.path("data/reform"), elsewhere = f.path("data/contexts");
  REQUIRE(f.run(f.ingest_args("c", {f.text})).exit_code == 0);
  std::filesystem::rename(store + "/contexts", elsewhere);
  std::filesystem::create_directory_symlink(elsewhere, store + "/contexts");
  std::filesystem::create_directory_symlink(store, f.path("link"));
  for (const std::string& path :
       {store, store + "/contexts", f.path("link"), store + "/store.json", f.path("link/../reform/locks"), elsewhere}) {
    const CommandResult r = f.run(f.ingest_args("self", {f.text, "-r", path}));
    INFO(path << ": " << r.err);
    CHECK(r.exit_code == 5);
    CHECK(r.err.find(path + ": is in the store itself") != std::string::npos);
  }
  f.write("data/text.txt", "The mill of the miller.");
  const CommandResult around = f.run(f.ingest_args("c", {f.text, "-r", f.path("data")}));
  CHECK(around.err.find("left out: 2 stores of contexts (" + elsewhere + ", …)") != std::string::npos);
}

TEST_CASE("lists of names: by line or by NUL, beside names, from a file or standard input", "[tools]") {
  const Files f;
  const std::string odd = f.write("two\nlines.txt", "odd\n"), a = f.write("a.txt", "one\n"),
                    b = f.write("b.txt", "two\n");
  const auto files_of = [&](const std::string& name, const Args& files, const CommandInput& input = {}) {
    const CommandResult r = f.run(with(f.ingest_args(name, files), {"--json"}), input);
    INFO(r.err << r.out);
    REQUIRE(r.exit_code == 0);
    return Json::parse(r.out)["context"]["files"];
  };
  const std::string lines = f.write("lines", "\xef\xbb\xbf" + b + "\r\n\n" + a),
                    nuls = f.write("nuls", odd + '\0' + a + '\0');
  CHECK(files_of("lines", {"--files-from", lines}) == Json({b, a}));
  CHECK(files_of("both", {f.text, "--files-from", nuls, "-0"}) == Json({f.text, odd, a}));
  CommandInput input;
  input.stdin_text = a + "\n" + b + "\n";
  CHECK(files_of("stdin", {"--files-from", "-"}, input) == Json({a, b}));

  const auto refused = [&](const Args& files, int exit_code, const std::string& says) {
    const CommandResult r = f.run(f.ingest_args("x", files));
    INFO(r.err);
    CHECK(r.exit_code == exit_code);
    CHECK(r.err.find(says) != std::string::npos);
  };
  refused({"--files-from", nuls}, 2, nuls + ": its names are separated by NUL bytes; -0");
  refused({"--files-from", f.write("blank", "\n\n")}, 2, "blank: there is no name in it");
  refused({"--files-from", f.path("none")}, 3, f.path("none") + ": no such file");
  const std::string bad = f.write("bad", "\n" + a + "\n" + f.path("gone") + "\n");
  refused({"--files-from", bad}, 3, bad + " line 3: " + f.path("gone") + ": no such file");
  refused({"-0", "--files-from", f.write("bad0", a + '\0' + f.path("gone"))}, 3, "bad0 name 2: " + f.path("gone"));
  refused({"-", "--files-from", "-"}, 2, "standard input ('-') can be read only once");
}

TEST_CASE("a file that is held whole has a bound, and is refused before all of it is read", "[tools]") {
  const Files f;
  REQUIRE(f.run(f.ingest_args("c", {f.text})).exit_code == 0);
  // Endless, so that the command must stop by itself.
  const auto refused = [&](const Args& args, const std::string& feed, int exit_code, const std::string& says) {
    std::string command = feed + " | $REFORM";
    for (const std::string& word : args) command += " " + word;
    const CommandResult r = f.shell(command);
    INFO(command << ": " << r.err);
    CHECK(r.exit_code == exit_code);
    CHECK(r.err.find(says) != std::string::npos);
    CHECK(!r.timed_out);
  };
  const Args list = f.ingest_args("x", {"--files-from", "-"}), questions = {"search", "c", "--file", "-"};
  refused(list, "yes ''", 5, "standard input: over 16777216 bytes");
  refused(list, "yes a", 5, "standard input: over ");
  refused(list, "cat /dev/zero", 2, "-0 reads such a list");
  refused(with(list, {"-0"}), "cat /dev/zero", 5, "over 16777216 bytes");
  refused(questions, "yes ''", 5, "standard input: over 4194304 bytes");
  refused(questions, "yes a | head -n 70000", 5, "standard input: over 65536 questions");
  refused(questions, "cat /dev/zero", 5, "standard input:1: not UTF-8 at byte 0");
  const Args prompt = {"generate", "--model", f.model, "-f"};
  refused(with(prompt, {"/dev/zero"}), "true", 5, "/dev/zero:1: not UTF-8 at byte 0");
  refused(with(prompt, {"<(yes a)"}), "true", 5, "over 4194304 bytes");
}

TEST_CASE("hundreds of files in few descriptors, the second time without reading them again", "[tools]") {
  const Files f;
  std::string list;
  for (int i = 0; i < 300; ++i) list += f.write("t" + std::to_string(i), "n" + std::to_string(i) + "\n") + "\n";
  const std::string names = f.write("names", list);
  std::string command =
      "ulimit -n 64; XDG_DATA_HOME=" + f.path("data") + " XDG_CACHE_HOME=" + f.path("cache") + " exec " + REFORM_BINARY;
  for (const std::string& word : f.ingest_args("many", {"--files-from", names})) command += " " + word;
  CHECK(std::system((command + " 2>/dev/null >/dev/null").c_str()) == 0);
  CHECK(f.run(f.ingest_args("many", {"--files-from", names})).out.find("already there") != std::string::npos);
}

TEST_CASE("a model whose file changes while it is used: one error, and nothing that would be wrong", "[tools]") {
  const Files f;
  const std::string model = f.path("model.gguf"), pipe = f.path("pipe");
  std::string text;  // a pipe holds all of it, so that the writer never waits for a reader that has died
  for (int i = 0; i < 500; ++i) text += "The mill number " + std::to_string(i) + " stands by the river.\n";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const struct {
    const char* says;
    std::function<void()> change;
  } cases[] = {{"was cut short", [&] { std::filesystem::resize_file(model, 4096); }},
               {"was written to", [&] { std::filesystem::last_write_time(model, std::filesystem::file_time_type()); }},
               {"was replaced by another file", [&] {
                  std::filesystem::copy_file(f.model, model + ".new");
                  std::filesystem::rename(model + ".new", model);
                }}};
  for (const auto& c : cases) {
    std::filesystem::copy_file(f.model, model, std::filesystem::copy_options::overwrite_existing);
    std::thread writer([&] {
      std::ofstream out(pipe);  // waits until the command opens the text, after the model
      c.change();
      out << text;
    });
    const Args args = {"ingest", "--json", "-t", "1", "--model", model, "--heads", f.heads, "c", pipe};
    const CommandResult r = f.run(args);
    writer.join();
    INFO(c.says << ": " << r.err << r.out);
    CHECK(r.exit_code == 4);
    CHECK(r.err.find("reform: error: " + model + ": " + c.says) != std::string::npos);
    const Json object = Json::parse(r.out);
    CHECK(object["error"]["name"] == "bad_model");
    CHECK(object["verb"] == "ingest");
    CHECK(f.run({"search", "c", "mill?", "--model", f.model}).exit_code != 0);
    (void)f.run({"rm", "c"});
  }
}
