#include "tools/sudden_end.h"

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

}  // namespace

TEST_CASE("a sudden end tells its error once, and its object only where a line may begin", "[tools]") {
  const auto end = [] { end_suddenly(Code::kCancelled, "stopped"); };
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
  for (const auto& c : cases) {
    CAPTURE(c.name);
    const Ended r = in_child([&] { c.before(), end(); });
    CHECK(r.exit_code == 130);
    CHECK(r.err == "reform: error: stopped\n");
    REQUIRE(r.out.starts_with(c.lines));
    if (!c.object) {
      CHECK(r.out == c.lines);
      continue;
    }
    const Json json = Json::parse(r.out.substr(c.lines.size()));
    CHECK(json == Json{{"schema_version", 1},
                       {"verb", ""},
                       {"error", {{"code", 130}, {"name", "cancelled"}, {"message", "stopped"}}}});
  }
  const Ended told = in_child([&] { begin_last_words(), note_error_told(Code::kBusy), end(); });
  CHECK((told.exit_code == 8 && told.err.empty() && told.out.empty()));
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
}
