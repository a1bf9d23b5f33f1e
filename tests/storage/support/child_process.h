// Another process of this same test program, which runs one hidden test case. It is for what only processes can show:
// locks between them, and death at any instant. (A plain fork would lack RocksDB's threads.)
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>

namespace reform::test {

class ChildProcess {
 public:
  ChildProcess(const std::string& test_case, const std::map<std::string, std::string>& environment);
  ~ChildProcess();  // kill -9 if it still runs
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  // The next line that the child reported; nullopt once it has ended, or when `timeout` has passed.
  std::optional<std::string> read_line(std::chrono::milliseconds timeout = std::chrono::milliseconds(60000));
  void kill_and_wait();
  int wait();  // returns its exit status

 private:
  pid_t pid_ = -1;
  int pipe_ = -1;
  std::string buffer_;
};

// For the child: sends a line to the parent, whole or not at all; and reads what the parent set.
void report_to_parent(const std::string& line);
std::string child_setting(const std::string& name);

}  // namespace reform::test
