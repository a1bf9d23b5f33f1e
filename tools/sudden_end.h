// Ends the process at once, from any thread and from a signal handler: where it was told to stop, and where there is no
// memory to go on with, or no model any more. It is as safe as a loss of power: the store keeps what was committed.
// Whatever ends the process, these hold: the end allocates nothing and never waits for a reader; the error's line and
// the object are one write each, which a pipe takes whole or not at all; no object follows a line that is half written;
// the error that was told first decides the exit code.
#pragma once

#include <reform/status.h>

#include <climits>
#include <string>
#include <string_view>

namespace reform::tool {

// Writes the error to standard error and, with --json, its object to standard output. The message needs no escapes in
// JSON.
[[noreturn]] void end_suddenly(Code code, std::string_view message);
[[noreturn]] void end_out_of_memory();

// An end that was put into words before it came, so that they can hold any name.
struct LastWords {
  // What a pipe that has room takes at once.
  static constexpr size_t kMostBytes = PIPE_BUF;
  bool fit() const { return line.size() <= kMostBytes && object.size() <= kMostBytes; }

  Code code = Code::kOk;
  std::string line, object;  // for standard error, and for standard output with --json; each with its line feed
};
// From here on the process ends so where a file that it has mapped is cut short, or its disk fails (SIGBUS). The words
// must fit. Call it once.
void end_when_mapping_is_lost(LastWords words);

// From here on the process ends so where a thread, or a library in C, would abort it because the system has no memory
// or no thread left.
void end_when_nothing_is_left();

// For whoever writes to standard output.
void expect_json();                   // an object is due
void begin_json_line();               // before an object is written
void end_json_line(bool more_lines);  // after it was written whole; more_lines: another one is due
void begin_last_words();              // before the run's end is told: no other thread tells another from here on
void note_error_told(Code code);      // now the exit code, whatever happens

}  // namespace reform::tool
