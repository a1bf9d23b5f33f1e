// Limits on the process (ulimit): one clear error with the documented code, whatever thread or library meets the limit
// first, and a store as it was.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/files.h"
#include "tests/support/skip.h"
#include "tests/tools/command.h"

using namespace reform;
using namespace reform::test;
using Json = nlohmann::json;

namespace {

#ifdef REFORM_SANITIZED
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
constexpr const char* kWhySkip = "a sanitizer needs memory, threads and files of its own";

struct Limited : Sandbox {
  Limited() {
    std::string words;
    for (int i = 0; i < 300; ++i) words += "word " + std::to_string(i * 7919 % 1000) + " ";
    write("text.txt", words);
    heads_file();
  }
  // Runs the ingest of a small text as `limit` lets it, a script that ends in a command prefix.
  CommandResult ingest(const std::string& limit, const std::string& name = "c") const {
    return shell(limit + " $REFORM ingest --json --model " + golden_path("tiny_qwen2.gguf") + " --heads " +
                 path("heads.json") + " -t 3 --cache-tokens 128 --chunk-tokens 128 " + name + " " + path("text.txt"));
  }
};

// One error line, and the same in the object, which may be missing only where it could not be written.
void check_error(const CommandResult& r, int code, const std::string& says) {
  INFO(r.err << r.out);
  CHECK(r.exit_code == code);
  const size_t at = r.err.find("reform: error: ");
  REQUIRE(at != std::string::npos);
  CHECK(r.err.find("reform: error: ", at + 1) == std::string::npos);
  CHECK(r.err.find(says, at) != std::string::npos);
  if (r.out.empty()) return;
  const Json json = Json::parse(r.out, nullptr, false);
  REQUIRE((json.is_object() && json.contains("error")));
  CHECK(json["error"]["code"] == code);
}

}  // namespace

TEST_CASE("ulimit -v: too little memory is said, whoever asks for it", "[tools]") {
  if (kSanitized) return skip(kWhySkip);
  const Limited b;
  int n_refused = 0, n_done = 0;
  for (int mib = 40; mib <= 264; mib += 28) {
    CAPTURE(mib);
    const CommandResult r = b.ingest("ulimit -c 0; ulimit -v " + std::to_string(mib << 10) + ";", std::to_string(mib));
    if (r.exit_code == 127) continue;  // the loader's own refusal
    ++(r.exit_code == 0 ? n_done : n_refused);
    if (r.exit_code != 0) check_error(r, 11, "memory");
  }
  CHECK((n_refused > 3 && n_done > 0));
  CHECK(b.run({"verify"}).exit_code == 0);
}

TEST_CASE("ulimit -u: no more threads is said, and too few for io_uring do", "[tools]") {
  if (kSanitized) return skip(kWhySkip);
  const Limited b;
  REQUIRE(chmod(b.path("").c_str(), 0777) == 0);
  // The limit does not hold for root, and it counts all processes of the user: so one without any.
  const std::string user = getuid() == 0 ? "exec setpriv --reuid=54321 --clear-groups" : "exec env";
  if (b.shell(user + " $REFORM --version").exit_code != 0) return skip("no other user can run the command here");
  int n_refused = 0;
  for (const int n : {1, 3, 5, 6, 7, 9}) {
    CAPTURE(n);
    const std::string name = std::to_string(n);
    const CommandResult r = b.ingest(user + " bash -c 'ulimit -u " + name + "; exec \"$0\" \"$@\"'", name);
    if (r.exit_code == 0) continue;
    ++n_refused;
    check_error(r, 13, "ulimit -u");
  }
  CHECK(n_refused > 0);
}

TEST_CASE("ulimit -n: too few descriptors are said, and are no damage", "[tools]") {
  if (kSanitized) return skip(kWhySkip);
  const Limited b;
  REQUIRE(b.ingest("").exit_code == 0);
  int n_refused = 0;
  for (int n = 7; n <= 27; n += 4) {
    CAPTURE(n);
    const std::string limit = "ulimit -n " + std::to_string(n) + ";";
    const std::string model = " --model " + golden_path("tiny_qwen2.gguf");
    const CommandResult results[] = {b.ingest(limit, std::to_string(n)), b.shell(limit + " $REFORM verify --json"),
                                     b.shell(limit + " $REFORM search c why --json" + model)};
    for (const CommandResult& r : results) {
      if (r.exit_code == 0) continue;
      ++n_refused;
      check_error(r, 13, "ulimit -n");
    }
  }
  CHECK((n_refused > 3 && n_refused < 18));
  // Nor is what cannot be opened another context, or an unreadable one.
  REQUIRE(b.shell("$REFORM export c c.reform --force").exit_code == 0);
  CHECK(b.shell("$REFORM import c.reform").out.find("already there") != std::string::npos);
  check_error(b.shell("ulimit -n 9; $REFORM import c.reform --json"), 13, "ulimit -n");
  check_error(b.shell("ulimit -n 5; $REFORM contexts --json"), 13, "ulimit -n");
  check_error(b.shell("ulimit -n 5; $REFORM show c --json"), 13, "ulimit -n");
}

TEST_CASE("ulimit -n: a removal that is not finished says what it has done", "[tools]") {
  if (kSanitized) return skip(kWhySkip);
  const Limited b;
  bool was_unfinished = false;
  const auto is_gone_now = [&] { return Json::parse(b.run({"contexts", "--json"}).out)["contexts"].empty(); };
  for (int n = 4; n <= 10; ++n) {
    if (is_gone_now()) REQUIRE(b.ingest("").exit_code == 0);
    const CommandResult r = b.shell("exec < /dev/null; ulimit -n " + std::to_string(n) + "; $REFORM rm c");
    if (r.exit_code == 127) continue;  // not even the program could be loaded
    INFO(n << ": " << r.err);
    const bool is_gone = is_gone_now();
    CHECK((r.exit_code == 0 ? is_gone : r.exit_code == 13));
    if (r.exit_code != 0) CHECK(is_gone == (r.err.find("is removed, but") != std::string::npos));
    was_unfinished = was_unfinished || (r.exit_code != 0 && is_gone);
  }
  CHECK(was_unfinished);
}

TEST_CASE("ulimit -s: a stack that is too small for RocksDB is said", "[tools]") {
  if (kSanitized) return skip(kWhySkip);
  const Limited b;
  for (const char* kib : {"64", "128", "255"})
    check_error(b.ingest("ulimit -s " + std::string(kib) + ";"), 11, "ulimit -s");
  CHECK(b.ingest("ulimit -s 256;").exit_code == 0);
}

TEST_CASE("ulimit -f: a file that may not grow is like a full disk", "[tools]") {
  const Limited b;
  for (const char* way : {"plain", "auto"}) {
    CAPTURE(way);
    check_error(b.ingest("ulimit -f 64; REFORM_IO=" + std::string(way)), 10, "ulimit -f");
    CHECK(b.shell("ulimit -f 0; $REFORM --help > " + b.path("help")).exit_code == 10);
  }
  CHECK(b.ingest("").exit_code == 0);
}

TEST_CASE("ulimit -t: the limit on CPU time is said before the kernel kills", "[tools]") {
  const Limited b;
  const std::string ingest = " ingest --json --model " + golden_path("tiny_qwen2.gguf") + " --heads " +
                             b.path("heads.json") + " c " + b.path("pipe");
  // The soft limit must lie below the hard one, at which there is no warning.
  const CommandResult r =
      b.shell("mkfifo " + b.path("pipe") + "; ulimit -t 60; $REFORM" + ingest + " & exec 3> " + b.path("pipe") +
              "; grep 'Max cpu time' /proc/$!/limits | tr -s ' ' >&2; kill -XCPU $!; wait $!");
  check_error(r, 130, "CPU time (ulimit -t)");
  CHECK(r.err.find("Max cpu time 59 60 ") != std::string::npos);
}

TEST_CASE("a control group's limit on memory: what does not fit is refused before it begins", "[tools]") {
  const Limited b;
  const std::string group = b.path("group") + "/own/memory.";
  std::filesystem::create_directories(b.path("group/own"));
  b.write("cgroup", "4:memory:/own\n");
  b.write("mountinfo", "1 0 0:1 / " + b.path("group") + " rw - cgroup cgroup rw,memory\n");
  b.write("group/own/memory.usage_in_bytes", "1048576");
  // The files of /proc are replaced for the process that becomes the command, in a mount namespace of its own.
  const std::string within =
      "for f in cgroup mountinfo; do mount --bind " + b.path("") + "$f /proc/$$/$f || exit 99; done; exec ";
  const auto in_group = [&](int64_t limit_mib, const std::string& command) {
    b.write("group/own/memory.limit_in_bytes", std::to_string(limit_mib << 20));
    b.write("run.sh", within + command);
    const std::string script = "bash " + b.path("run.sh");
    return b.shell(getuid() == 0 ? "exec unshare -m " + script : "exec unshare -r -m " + script);
  };
  if (in_group(1 << 20, "$REFORM --version").exit_code != 0) return skip("no file system can be mounted here");
  const std::string ingest = "$REFORM ingest --json --model " + golden_path("tiny_qwen2.gguf") + " --heads " +
                             b.path("heads.json") + " --cache-tokens 128 --chunk-tokens 128 ";
  CHECK(in_group(1024, ingest + "c " + b.path("text.txt")).exit_code == 0);
  check_error(in_group(64, ingest + "d " + b.path("text.txt")), 11, "control group (" + group + "limit_in_bytes)");
  check_error(in_group(64, ingest + "d " + b.path("text.txt") + " --max-host-memory 4GiB"), 11, "63.0 MiB are left");
  check_error(in_group(24, "$REFORM search c why --json"), 11, "control group");
  const CommandResult doctor = in_group(64, "$REFORM doctor --json --store " + b.path("data"));
  INFO(doctor.err);
  REQUIRE(doctor.exit_code == 0);
  CHECK(Json::parse(doctor.out)["memory"]["left_bytes"] == int64_t{63} << 20);
  CHECK(doctor.out.find(group) != std::string::npos);
}
