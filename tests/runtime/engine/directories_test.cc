#include "runtime/engine/directories.h"

#include <reform/store.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "tests/support/skip.h"

using namespace reform;

namespace {

// In a process of its own, with these variables and none else.
template <class Check>
bool holds_with(const std::vector<std::pair<const char*, const char*>>& variables, uid_t user, Check check) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::clearenv();
    for (const auto& [name, value] : variables) ::setenv(name, value, 1);
    if (user != ::getuid() && ::setuid(user) != 0) ::_exit(2);
    ::_exit(check() ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

constexpr uid_t kNobodyKnown = 54'321;

}  // namespace

TEST_CASE("directories: variables first, then the user's entry, never a folder that all share", "[runtime]") {
  const uid_t self = ::getuid();
  CHECK(holds_with({{"XDG_DATA_HOME", "/a"}, {"HOME", "/b"}}, self, [] { return default_data_dir() == "/a/reform"; }));
  CHECK(holds_with({{"XDG_CACHE_HOME", "c"}, {"HOME", "/b"}}, self,
                   [] { return default_cache_dir() == "/b/.cache/reform"; }));
  for (const char* home : {"", "relative"}) {
    CHECK(holds_with({{"HOME", home}}, self, [] {
      const std::string dir = default_data_dir();
      return dir.starts_with("/") && dir.ends_with("/.local/share/reform") && !dir.starts_with("/tmp");
    }));
  }
}

TEST_CASE("directories: where no home is known, the default store is refused, and nothing is made", "[runtime]") {
  if (::getuid() != 0) return test::skip("only root can become a user that the system does not know");
  CHECK(holds_with({}, kNobodyKnown, [] {
    const Status opened = Store::open("").status();
    return default_data_dir().empty() && default_cache_dir().empty() && opened.code == Code::kUsage &&
           opened.message.find("--store") != std::string::npos;
  }));
}
