#include "tools/sudden_end.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <functional>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tools/open_engine.h"
#include "tools/output.h"
#include "tools/progress.h"

using namespace reform;
using namespace reform::tool;
using Json = nlohmann::json;

namespace {

struct Ended {
  int exit_code = -1;
  std::string out, err;
};

std::string read_all(int fd) {
  std::string all;
  char piece[512];
  for (ssize_t n; (n = ::read(fd, piece, sizeof piece)) > 0;) all.append(piece, size_t(n));
  ::close(fd);
  return all;
}

// What a process says that runs `run` and ends with 0 if that returns.
Ended in_child(const std::function<void()>& run) {
  int out[2], err[2];
  REQUIRE((::pipe(out) == 0 && ::pipe(err) == 0));
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::dup2(out[1], STDOUT_FILENO);
    ::dup2(err[1], STDERR_FILENO);
    run();
    ::_exit(0);
  }
  ::close(out[1]);
  ::close(err[1]);
  Ended ended{-1, read_all(out[0]), read_all(err[0])};
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  ended.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ended;
}

void print(const char* text) { (void)!::write(STDOUT_FILENO, text, std::strlen(text)); }

// SIGBUS, as from a model that another process cuts short.
void touch_lost_mapping() {
  const int file = ::memfd_create("lost", 0);
  (void)!::ftruncate(file, 4096);
  void* const mapped = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0);
  (void)!::ftruncate(file, 0);
  (void)*static_cast<volatile char*>(mapped);
}

void fill_pipe(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  while (::write(fd, "x", 1) == 1) {
  }
  ::fcntl(fd, F_SETFL, flags);
}

// The end by either cause: told to stop, and a mapped file that is cut short.
struct Cause {
  const char* name;
  std::function<void()> end;
  int exit_code;
  std::string line;
  Json object;
};

std::vector<Cause> causes() {
  const Json stopped = {
      {"schema_version", 1}, {"verb", ""}, {"error", {{"code", 130}, {"name", "cancelled"}, {"message", "stopped"}}}};
  const auto told = [] { end_suddenly(Code::kCancelled, "stopped"); };
  const auto lost = [] {
    end_when_mapping_is_lost({Code::kBadModel, "reform: error: m: cut\n", "{\"lost\":\"m\"}\n"});
    touch_lost_mapping();
  };
  return {{"told", told, 130, "reform: error: stopped\n", stopped},
          {"lost", lost, 4, "reform: error: m: cut\n", Json{{"lost", "m"}}}};
}

}  // namespace

TEST_CASE("a sudden end tells its error once, and its object only where a line may begin", "[tools]") {
  const struct {
    const char* name;
    std::function<void()> before;
    std::string lines;  // before the object
    bool object;
  } cases[] = {
      {"no --json", [] {}, "", false},
      {"due", [] { expect_json(); }, "", true},
      {"half", [] { expect_json(), begin_json_line(), print("{\"half"); }, "{\"half", false},
      {"one of many", [] { expect_json(), begin_json_line(), print("{}\n"), end_json_line(true); }, "{}\n", true},
      {"the last", [] { expect_json(), begin_json_line(), print("{}\n"), end_json_line(false); }, "{}\n", false}};
  for (const Cause& cause : causes()) {
    for (const auto& c : cases) {
      CAPTURE(cause.name, c.name);
      const Ended r = in_child([&] { c.before(), cause.end(); });
      CHECK(r.exit_code == cause.exit_code);
      CHECK(r.err == cause.line);
      REQUIRE(r.out.starts_with(c.lines));
      if (c.object) {
        CHECK(Json::parse(r.out.substr(c.lines.size())) == cause.object);
      } else {
        CHECK(r.out == c.lines);
      }
    }
    const Ended told = in_child([&] { begin_last_words(), note_error_told(Code::kBusy), cause.end(); });
    CHECK((told.exit_code == 8 && told.err.empty() && told.out.empty()));
  }
}

TEST_CASE("a sudden end waits for no reader: without room nothing of the error is written", "[tools]") {
  for (const Cause& cause : causes()) {
    CAPTURE(cause.name);
    const Ended r = in_child([&] { expect_json(), fill_pipe(STDERR_FILENO), cause.end(); });
    CHECK(r.exit_code == cause.exit_code);
    CHECK(r.err.find_first_not_of('x') == std::string::npos);
    CHECK(Json::parse(r.out) == cause.object);
  }
}

TEST_CASE("a lost model is named whole, by its path or, where that is too long, by its own name", "[tools]") {
  std::string deep = "/deep";
  for (int i = 0; i < 15; ++i) deep += "/" + std::string(200, '"');  // twice as long in JSON
  for (const auto& [path, shown] : {std::pair<std::string, std::string>{"/a/m.gguf", "/a/m.gguf: was cut short"},
                                    {deep + "/m.gguf", "m.gguf: was cut short"}}) {
    const Ended r = in_child([&, &path = path] {
      const Output out("ask", /*json=*/true, ProgressLine::standard_error());
      expect_json();
      expect_lost_model(path, out);
      touch_lost_mapping();
    });
    CHECK(r.exit_code == 4);
    CHECK(r.err.starts_with("reform: error: " + shown));
    const Json object = Json::parse(r.out);
    CHECK(object["verb"] == "ask");
    CHECK(object["error"]["message"].get<std::string>().starts_with(shown));
  }
}

TEST_CASE("an exception for want of memory that nobody catches ends with 11, a bug aborts", "[tools]") {
  const auto thrown = [](const std::function<void()>& fail) {
    return in_child([&] {
      end_when_nothing_is_left();
      const auto nobody_catches = [&]() noexcept { fail(); };
      nobody_catches();
    });
  };
  CHECK(thrown([] { throw std::bad_alloc(); }).exit_code == 11);
  CHECK(thrown([] {
          throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
        }).exit_code == 13);
  CHECK(thrown([] { throw std::logic_error("a bug"); }).exit_code == 128 + SIGABRT);
  // Nothing that fails after an error was told changes the exit code.
  const Ended told = thrown([] { note_error_told(Code::kUnavailable), std::thread().join(); });
  CHECK((told.exit_code == 13 && told.err.empty()));
}
