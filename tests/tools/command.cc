#include "tests/tools/command.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "tests/support/files.h"

namespace reform::test {
namespace {

constexpr auto kTimeout = std::chrono::seconds(300);

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

// No signal is ignored or blocked, whatever started the tests.
pid_t start(std::vector<std::string> argv, std::vector<std::string> environment, int in, int out, int err) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t set;
  sigemptyset(&set);
  posix_spawnattr_setsigmask(&attributes, &set);
  sigfillset(&set);
  posix_spawnattr_setsigdefault(&attributes, &set);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t child = 0;
  const std::string program = argv.front();
  const int error =
      posix_spawn(&child, program.c_str(), &actions, &attributes, pointers(argv).data(), pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  REQUIRE(error == 0);
  return child;
}

}  // namespace

Sandbox::Sandbox() {
  std::string pattern = (std::filesystem::temp_directory_path() / "reform-test-XXXXXX").string();
  REQUIRE(mkdtemp(pattern.data()) != nullptr);
  dir_ = pattern;
}

Sandbox::~Sandbox() {
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
}

std::string Sandbox::write(const std::string& name, const std::string& bytes) const {
  std::ofstream(path(name), std::ios::binary) << bytes;
  return path(name);
}

int64_t Sandbox::store_bytes(const std::string& suffix) const {
  int64_t bytes = 0;
  std::error_code error;  // files come and go meanwhile
  for (auto it = std::filesystem::recursive_directory_iterator(dir_ / "data", error);
       !error && it != std::filesystem::recursive_directory_iterator(); it.increment(error)) {
    std::error_code gone;
    const bool wanted = it->path().string().ends_with(suffix) && it->is_regular_file(gone);
    const auto size = wanted ? it->file_size(gone) : 0;
    if (!gone) bytes += int64_t(size);
  }
  return bytes;
}

std::vector<std::string> Sandbox::ingest_args(const std::string& name, const std::vector<std::string>& files) const {
  std::vector<std::string> args = {"ingest",  "-t",         "1", "--model", golden_path("tiny_qwen2.gguf"),
                                   "--heads", heads_file(), name};
  args.insert(args.end(), files.begin(), files.end());
  return args;
}

CommandResult Sandbox::run(const std::vector<std::string>& args, const CommandInput& input) const {
  std::vector<std::string> argv = {REFORM_BINARY};
  argv.insert(argv.end(), args.begin(), args.end());
  return run_program(std::move(argv), input);
}

CommandResult Sandbox::shell(const std::string& script, const CommandInput& input) const {
  return run_program({"/bin/bash", "-c", script}, input);
}

CommandResult Sandbox::run_program(std::vector<std::string> argv, const CommandInput& input) const {
  const std::string out_path = path(".out"), err_path = path(".err");
  constexpr int kNew = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC;
  const int out = input.out >= 0 ? input.out : ::open(out_path.c_str(), kNew, 0600);
  const int err = input.err >= 0 ? input.err : ::open(err_path.c_str(), kNew, 0600);
  int in = -1, writer = -1;
  if (input.stdin_stays_open) {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    in = ends[0], writer = ends[1];
    REQUIRE(::write(writer, input.stdin_text.data(), input.stdin_text.size()) == ssize_t(input.stdin_text.size()));
  } else {
    in = ::open(write(".in", input.stdin_text).c_str(), O_RDONLY | O_CLOEXEC);
  }
  std::vector<std::string> environment = {"XDG_DATA_HOME=" + path("data"),
                                          "XDG_CACHE_HOME=" + path("cache"),
                                          "HOME=" + path("home"),
                                          "TZ=UTC",
                                          "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                          "REFORM=" REFORM_BINARY};
  environment.insert(environment.end(), input.environment.begin(), input.environment.end());
  const pid_t child = start(std::move(argv), std::move(environment), in, out, err);
  for (const int fd : {in, out, err}) ::close(fd);

  CommandResult result;
  const auto deadline = std::chrono::steady_clock::now() + kTimeout;
  bool waiting = bool(input.signal_when);
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (waiting && input.signal_when()) {
      waiting = false;
      kill(child, input.signal);
    }
    if (std::chrono::steady_clock::now() > deadline) {
      result.timed_out = true;
      kill(child, SIGKILL);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (writer >= 0) ::close(writer);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (input.out < 0) result.out = read_file(out_path);
  if (input.err < 0) result.err = read_file(err_path);
  return result;
}

int run_on_small_disk(const std::string& dir, const std::string& size, const std::string& script) {
  const std::string mount = "mount -t tmpfs -o size=" + size + " none " + dir;
  for (const std::string unshare : {"unshare -m sh -c", "unshare -r -m sh -c"}) {
    if (std::system((unshare + " \"" + mount + "\" 2>/dev/null").c_str()) != 0) continue;
    return WEXITSTATUS(std::system((unshare + " \"" + mount + "; " + script + "\" 2>/dev/null").c_str()));
  }
  return -1;
}

}  // namespace reform::test
