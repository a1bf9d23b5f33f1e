// Standard output of one run of the command: text as it comes, or, with --json, exactly one object at the end.
#pragma once

#include <reform/log.h>
#include <reform/status.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace reform::tool {

class ProgressLine;

// Exit code when the reader of standard output went away, as a shell reports SIGPIPE. Not a Code: the work was done.
inline constexpr int kBrokenPipeExit = 141;

class Output {
 public:
  Output(std::string verb, bool json, ProgressLine& progress);

  bool json() const { return json_; }
  ProgressLine& progress() { return progress_; }
  LogCallback log();  // the library's remarks, to standard error

  // Text for people, at once; nothing with --json. False: nobody reads on (broken_pipe()) or the disk is full.
  bool text(std::string_view bytes);
  // The bytes as they are, with --json too: for what is not text.
  bool binary(std::string_view bytes) { return write_all(bytes); }
  bool broken_pipe() const { return broken_pipe_; }
  Status write_status() const { return write_status_; }
  bool stdout_is_terminal() const { return stdout_is_terminal_; }
  // The run's object; `schema_version` and `verb` are put in front. Nothing without --json.
  void object(const nlohmann::ordered_json& fields);
  // The end of the run: the error, if any, as a line on standard error and with --json as the object. The exit code.
  int finish(Status status);

 private:
  bool write_all(std::string_view bytes);

  const std::string verb_;
  const bool json_;
  bool object_written_ = false;
  bool broken_pipe_ = false;
  Status write_status_;
  const bool stdout_is_terminal_;
  ProgressLine& progress_;
};

}  // namespace reform::tool
