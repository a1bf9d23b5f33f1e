// Standard output of one run of the command: text as it comes or, with --json, exactly one object at the end (a line
// for each question that search reads from a file).
#pragma once

#include <reform/log.h>
#include <reform/status.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "tools/sudden_end.h"

namespace reform::tool {

class ProgressLine;

// The exit code when the reader of standard output went away, as a shell reports SIGPIPE. It is no Code, as the work
// was done.
inline constexpr int kBrokenPipeExit = 141;

class Output {
 public:
  Output(std::string verb, bool json, ProgressLine& progress);

  bool json() const { return json_; }
  ProgressLine& progress() { return progress_; }
  LogCallback log();  // writes the library's remarks to standard error

  // Writes text for people at once; nothing with --json. False: nobody reads any more (broken_pipe()), or the disk is
  // full.
  bool text(std::string_view bytes);
  // Writes the bytes unchanged, with --json too. For what is not text.
  bool binary(std::string_view bytes) { return write_all(bytes); }
  bool broken_pipe() const { return broken_pipe_; }
  Status write_status() const { return write_status_; }
  bool stdout_is_terminal() const { return stdout_is_terminal_; }
  // One of many objects, a line each. An error after them is still an object of its own, the last line.
  void line(const nlohmann::ordered_json& fields);
  // The run's object. `schema_version` and `verb` are put before its fields. Written only with --json.
  void object(const nlohmann::ordered_json& fields);
  // What finish() would write for an error. For signal handlers.
  LastWords last_words(const Status& error) const;
  // Ends the run and returns the exit code. An error becomes a line on standard error and, with --json, the object.
  int finish(Status status);

 private:
  bool write_all(std::string_view bytes);
  void write_line(const nlohmann::ordered_json& fields, bool more_lines);
  void note_failure(int error);  // an errno; 0: none

  const std::string verb_;
  const bool json_;
  bool object_written_ = false;
  bool broken_pipe_ = false;
  Status write_status_;
  const bool stdout_is_terminal_;
  ProgressLine& progress_;
};

}  // namespace reform::tool
