// Ends the process at once, from any thread and from a signal handler: where it was told to stop, and where there is no
// memory to go on with. It is as safe as a loss of power: the store keeps what was committed. Nothing here allocates.
#pragma once

#include <reform/status.h>

#include <string_view>

namespace reform::tool {

// Writes the error to standard error and, with --json, its object to standard output, as far as that does not block. No
// object follows a line that is half written, so that half a line never looks like a whole one. The message needs no
// escapes in JSON.
[[noreturn]] void end_suddenly(Code code, std::string_view message);
[[noreturn]] void end_out_of_memory();

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
