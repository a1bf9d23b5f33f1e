// Standard streams and signals: exit 0 means that all output was written, and half a line never looks like a whole one.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/files.h"
#include "tests/tools/command.h"

using namespace reform;
using namespace reform::test;
using Json = nlohmann::json;
using Args = std::vector<std::string>;

namespace {

constexpr int kPipeBytes = 4096;

struct Pipe {
  int read_end = -1, write_end = -1;
  explicit Pipe(int flags = 0) {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    read_end = ends[0], write_end = ends[1];
    REQUIRE(fcntl(write_end, F_SETPIPE_SZ, kPipeBytes) == kPipeBytes);
    REQUIRE(fcntl(write_end, F_SETFL, flags) == 0);
  }
  ~Pipe() { stop_reading(); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  void stop_reading() {
    if (read_end >= 0) ::close(read_end);
    read_end = -1;
  }
  int waiting_bytes() const {
    int n = 0;
    return ioctl(read_end, FIONREAD, &n) == 0 ? n : 0;
  }
  std::string read_all() const {
    std::string all;
    char piece[512];
    for (ssize_t n; (n = ::read(read_end, piece, sizeof piece)) > 0;) all.append(piece, size_t(n));
    return all;
  }
};

struct Streams : Sandbox {
  const std::string engine = " --model " + golden_path("tiny_qwen2.gguf") + " --heads " + heads_file() + " -t 1 ";
  const std::string ingest = "$REFORM ingest" + engine;
  std::string words;

  Streams() {
    for (int i = 0; i < 600; ++i) words += "word " + std::to_string(i * 7919 % 1000) + " ";
    write("text.txt", words);
  }
  void make_context() const { REQUIRE(shell(ingest + "c " + path("text.txt")).exit_code == 0); }
  // More than a pipe holds.
  Args long_output() const { return {"search", "c", "which word?", "--gather-tokens", "1500", "--json", "-q"}; }
};

}  // namespace

TEST_CASE("streams: a closed descriptor is never a file's, and closed output is an error", "[tools]") {
  const Streams b;
  const struct {
    const char* closed;
    int exit_code;
  } cases[] = {{"<&-", 0}, {"2>&-", 0}, {"<&- 2>&-", 0}, {">&-", 12}, {"<&- >&-", 12}, {"<&- >&- 2>&-", 12}};
  for (const auto& c : cases) {
    for (const char* json : {"", " --json"}) {
      CAPTURE(c.closed, json);
      CHECK(b.shell(b.ingest + "--replace c " + b.path("text.txt") + json + " " + c.closed).exit_code == c.exit_code);
    }
  }
  CHECK(b.run({"verify"}).exit_code == 0);
  for (const char* input : {"<&-", "</"}) {
    const CommandResult r = b.shell(b.ingest + "d - " + input);
    const bool is_directory = input[1] == '/';
    const int exit_code = is_directory ? 2 : 12;
    CHECK((r.exit_code == exit_code && r.err.find("-: reading failed") != std::string::npos));
    CHECK(r.err.find(is_directory ? "is a directory" : "Bad file descriptor") != std::string::npos);
    CHECK(b.shell("$REFORM search c -f - " + std::string(input)).exit_code == exit_code);
  }
}

TEST_CASE("streams: no verb ends with 0 where its output did not fit or nobody read it", "[tools]") {
  const Streams b;
  b.make_context();
  const Args verbs[] = {{"--version"}, {"--help"},          {"contexts"}, {"show", "c"}, {"search", "c", "which?"},
                        {"verify"},    {"export", "c", "-"}};
  for (const Args& verb : verbs) {
    for (const bool json : {false, true}) {
      Args args = verb;
      if (json && verb[0] != "export") args.push_back("--json");
      CAPTURE(args);
      const CommandResult full = b.run(args, {.out = ::open("/dev/full", O_WRONLY | O_CLOEXEC)});
      CHECK(full.exit_code == 10);
      CHECK(full.err.find("error: cannot write to standard output") != std::string::npos);
      Pipe pipe;
      pipe.stop_reading();
      CHECK(b.run(args, {.out = pipe.write_end}).exit_code == 141);
    }
  }
}

TEST_CASE("streams: output that does not block waits for a slow reader", "[tools]") {
  const Streams b;
  b.make_context();
  const Pipe pipe(O_NONBLOCK);
  std::string read;
  CommandInput slow{.out = pipe.write_end};
  std::thread reader;
  slow.signal_when = [&] {  // the pipe is full once
    if (pipe.waiting_bytes() == kPipeBytes && !reader.joinable()) reader = std::thread([&] { read = pipe.read_all(); });
    return false;
  };
  const CommandResult r = b.run(b.long_output(), slow);
  REQUIRE(reader.joinable());
  reader.join();
  CHECK(r.exit_code == 0);
  CHECK(Json::parse(read, nullptr, false).is_object());
  CHECK(read.size() > size_t{kPipeBytes});
}

TEST_CASE("streams: stopped in the midst of a line, nothing is written after the half", "[tools]") {
  const Streams b;
  b.make_context();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGXCPU}) {
    CAPTURE(signal);
    const Pipe pipe;
    const CommandResult r = b.run(
        b.long_output(),
        {.signal_when = [&] { return pipe.waiting_bytes() == kPipeBytes; }, .signal = signal, .out = pipe.write_end});
    CHECK(r.exit_code == 130);
    CHECK(r.err.find("reform: error: ") != std::string::npos);
    const std::string half = pipe.read_all();
    CHECK(half.size() == size_t{kPipeBytes});
    CHECK(half.find('\n') == std::string::npos);
  }
}

TEST_CASE("signals: those that were ignored stay ignored, the others stop an ingest", "[tools]") {
  const Streams b;
  const std::string pipe = b.path("pipe");
  const std::string start = "mkfifo " + pipe + "; (trap '' INT HUP; exec " + b.ingest + "c " + pipe + ") & exec 3> " +
                            pipe + "; kill -INT $!; kill -HUP $!; ";
  const CommandResult ignored = b.shell(start + "cat " + b.path("text.txt") + " >&3; exec 3>&-; wait $!");
  INFO(ignored.err);
  CHECK(ignored.exit_code == 0);
  CHECK(b.shell("rm " + pipe + "; " + start + "kill -TERM $!; wait $!").exit_code == 130);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    CAPTURE(signal);
    const std::string store = b.path("store" + std::to_string(signal));
    const CommandResult r = b.shell(
        "exec " + b.ingest + "d - --json --store " + store,
        {.stdin_stays_open = true, .signal_when = [&] { return std::filesystem::exists(store); }, .signal = signal});
    CHECK(r.exit_code == 130);
    const Json json = Json::parse(r.out, nullptr, false);
    CHECK((json.is_object() && json["error"]["code"] == 130));
  }
}

TEST_CASE("signals: stopped and continued, with children ignored, an ingest goes on", "[tools]") {
  const Streams b;
  const std::string pipe = b.path("pipe");
  CHECK(b.shell("trap '' CHLD; mkfifo " + pipe + "; " + b.ingest + "c " + pipe + " & exec 3> " + pipe +
                "; kill -TSTP $!; kill -CONT $!; cat " + b.path("text.txt") + " >&3; exec 3>&-; wait $!")
            .exit_code == 0);
}

TEST_CASE("a text may come from a pipe by any name", "[tools]") {
  const Streams b;
  b.make_context();
  const std::string text = b.path("text.txt");
  const struct {
    std::string before, name;
  } ways[] = {
      {"", "- < " + text},          {"", "/dev/stdin < " + text},          {"", "<(cat " + text + ")"},
      {"cat " + text + " | ", "-"}, {"cat " + text + " | ", "/dev/stdin"}, {"cat " + text + " | ", "/dev/fd/0"}};
  for (const auto& way : ways) {
    const CommandResult r = b.shell(way.before + b.ingest + "--replace --json d " + way.name);
    CAPTURE(way.before, way.name, r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(Json::parse(r.out)["context"]["source_bytes"] == b.words.size());
  }
}

TEST_CASE("a terminal that cannot take a line back gets plain lines", "[tools]") {
  const Streams b;
  for (const char* kind : {"xterm", "dumb", ""}) {
    CAPTURE(kind);
    const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE((master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0));
    const int terminal = ::open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    const CommandResult r = b.shell("exec " + b.ingest + "--replace c " + b.path("text.txt"),
                                    {.err = terminal, .environment = {std::string("TERM=") + kind, "NO_COLOR=1"}});
    char seen[4096];
    const ssize_t n = ::read(master, seen, sizeof seen);
    ::close(master);
    CHECK(r.exit_code == 0);
    REQUIRE(n > 0);
    const bool has_codes = std::string(seen, size_t(n)).find('\x1b') != std::string::npos;
    CHECK(has_codes == (std::string(kind) == "xterm"));
  }
}
