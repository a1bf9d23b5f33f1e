// Runs the real command as a subprocess, in a directory of its own.
#pragma once

#include <csignal>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace reform::test {

struct CommandResult {
  int exit_code = -1;  // 128 + signal if a signal ended it
  bool timed_out = false;
  std::string out, err;
};

struct CommandInput {
  std::string stdin_text = {};
  bool stdin_stays_open = false;  // a writer that sends nothing more
  // Once this is true, `signal` is sent.
  std::function<bool()> signal_when = {};
  int signal = SIGINT;
  // Where its output goes instead of to files that are read at the end. Closed here once it has started.
  int out = -1, err = -1;
  std::vector<std::string> environment = {};  // "NAME=value", in addition
};

// A temporary directory with a store and a cache of its own, removed at the end.
class Sandbox {
 public:
  Sandbox();
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  std::string path(const std::string& name) const { return (dir_ / name).string(); }
  // Bytes of the files below the default store whose names end in `suffix`.
  int64_t store_bytes(const std::string& suffix) const;
  std::string write(const std::string& name, const std::string& bytes) const;  // the path
  // For ingest --heads, so that no test waits for a search.
  std::string heads_file() const { return write("heads.json", R"({"heads": ["v0.0", "q1.1"]})"); }

  // For run(): `files` become the context `name`, by a tiny model and these heads.
  std::vector<std::string> ingest_args(const std::string& name, const std::vector<std::string>& files) const;

  // reform ARGS…
  CommandResult run(const std::vector<std::string>& args, const CommandInput& input = {}) const;
  // A bash script in the same surroundings, with the command as $REFORM.
  CommandResult shell(const std::string& script, const CommandInput& input = {}) const;

 private:
  CommandResult run_program(std::vector<std::string> argv, const CommandInput& input) const;

  std::filesystem::path dir_;
};

// A shell script in a mount namespace of its own, with an empty file system of `size` ("3m") mounted at `dir`: its exit
// status, or -1 where that is not allowed.
int run_on_small_disk(const std::string& dir, const std::string& size, const std::string& script);

}  // namespace reform::test
