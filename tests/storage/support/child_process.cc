#include "tests/storage/support/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <vector>

extern char** environ;

namespace reform::test {
namespace {

constexpr int kReportFd = 3;  // the child's end of the pipe

}  // namespace

ChildProcess::ChildProcess(const std::string& test_case, const std::map<std::string, std::string>& environment) {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  std::vector<std::string> settings;
  for (char** e = environ; *e != nullptr; ++e) settings.push_back(*e);
  for (const auto& [name, value] : environment) settings.push_back(name + "=" + value);
  std::vector<char*> pointers;
  for (std::string& s : settings) pointers.push_back(s.data());
  pointers.push_back(nullptr);
  std::string program = "test_storage", name = test_case;
  char* arguments[] = {program.data(), name.data(), nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], kReportFd);
  ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  const int error = ::posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, arguments, pointers.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  pipe_ = ends[0];
  REQUIRE(error == 0);
}

ChildProcess::~ChildProcess() {
  kill_and_wait();
  ::close(pipe_);
}

std::optional<std::string> ChildProcess::read_line(std::chrono::milliseconds timeout) {
  while (true) {
    if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
      const std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    pollfd ready{pipe_, POLLIN, 0};
    if (::poll(&ready, 1, int(timeout.count())) <= 0) return std::nullopt;
    char bytes[4096];
    const ssize_t n = ::read(pipe_, bytes, sizeof bytes);
    if (n <= 0) return std::nullopt;
    buffer_.append(bytes, size_t(n));
  }
}

void ChildProcess::kill_and_wait() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  wait();
}

int ChildProcess::wait() {
  int status = 0;
  if (pid_ > 0) ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return status;
}

void report_to_parent(const std::string& line) {
  const std::string whole = line + "\n";
  REQUIRE(::write(kReportFd, whole.data(), whole.size()) == ssize_t(whole.size()));
}

std::string child_setting(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  REQUIRE(value != nullptr);
  return value;
}

}  // namespace reform::test
