#include "tools/output.h"

#include <reform/errno_status.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "tools/descriptors.h"
#include "tools/json_output.h"
#include "tools/progress.h"
#include "tools/sudden_end.h"
#include "tools/text.h"

namespace reform::tool {
namespace {

// One line, whatever the names contain.
std::string error_line(const Status& error) { return "reform: error: " + printable(error.message, false); }

}  // namespace

Output::Output(std::string verb, bool json, ProgressLine& progress)
    : verb_(std::move(verb)), json_(json), stdout_is_terminal_(isatty(STDOUT_FILENO) == 1), progress_(progress) {}

LogCallback Output::log() {
  return [this](LogLevel level, const std::string& line) {
    const std::string shown = printable(line, false);
    if (level == LogLevel::kWarning) {
      progress_.always("reform: warning: " + shown);
    } else {
      progress_.remark("reform: " + shown);
    }
  };
}

bool Output::write_all(std::string_view bytes) {
  if (write_status_.ok() && !broken_pipe_) note_failure(write_fully(STDOUT_FILENO, bytes));
  return write_status_.ok() && !broken_pipe_;
}

void Output::note_failure(int error) {
  if (error == 0) return;
  broken_pipe_ = error == EPIPE;
  if (!broken_pipe_) write_status_ = errno_status(error, "cannot write to standard output");
}

bool Output::text(std::string_view bytes) {
  if (json_) return true;
  progress_.clear();
  return write_all(stdout_is_terminal_ ? printable(bytes, true) : std::string(bytes));
}

void Output::object(const nlohmann::ordered_json& fields) {
  if (json_) write_line(fields, /*more_lines=*/false);
  object_written_ = true;
}

void Output::line(const nlohmann::ordered_json& fields) {
  if (json_) write_line(fields, /*more_lines=*/true);
}

void Output::write_line(const nlohmann::ordered_json& fields, bool more_lines) {
  if (!write_status_.ok() || broken_pipe_) return;  // half a line may be there
  progress_.clear();
  const std::string bytes = dump(with_header(verb_, fields)) + "\n";
  begin_json_line();
  if (write_all(bytes)) end_json_line(more_lines);
}

LastWords Output::last_words(const Status& error) const {
  const std::string object = json_ ? dump(with_header(verb_, error_fields(error))) + "\n" : "";
  return {error.code, (progress_.live() ? "\n" : "") + error_line(error) + "\n", object};
}

int Output::finish(Status status) {
  begin_last_words();
  progress_.clear();
  const bool has_result = status.ok();
  if (has_result) {
    if (write_status_.ok()) note_failure(late_write_error(STDOUT_FILENO));
    status = write_status_;
  }
  if (status.ok()) return broken_pipe_ ? kBrokenPipeExit : 0;
  progress_.always(error_line(status));
  note_error_told(status.code);
  if (!has_result && !object_written_) object(error_fields(status));
  return int(status.code);
}

}  // namespace reform::tool
