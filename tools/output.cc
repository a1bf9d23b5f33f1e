#include "tools/output.h"

#include <reform/errno_status.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "tools/json_output.h"
#include "tools/progress.h"
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
  while (!bytes.empty() && write_status_.ok() && !broken_pipe_) {
    const ssize_t n = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(size_t(n));
    } else if (errno == EPIPE) {
      broken_pipe_ = true;
    } else if (errno != EINTR) {
      write_status_ = errno_status(errno, "cannot write to standard output");
    }
  }
  return write_status_.ok() && !broken_pipe_;
}

bool Output::text(std::string_view bytes) {
  if (json_) return true;
  progress_.clear();
  return write_all(stdout_is_terminal_ ? printable(bytes, true) : std::string(bytes));
}

void Output::object(const nlohmann::ordered_json& fields) {
  line(fields);
  object_written_ = true;
}

void Output::line(const nlohmann::ordered_json& fields) {
  if (!json_) return;
  progress_.clear();
  write_all(dump(with_header(verb_, fields)) + "\n");
}

std::pair<std::string, std::string> Output::as_written(const Status& error) const {
  const std::string object = json_ ? dump(with_header(verb_, error_fields(error))) + "\n" : "";
  return {(progress_.live() ? "\n" : "") + error_line(error) + "\n", object};
}

int Output::finish(Status status) {
  progress_.clear();
  if (!status.ok()) {
    progress_.always(error_line(status));
    if (!object_written_) object(error_fields(status));
  } else if (!write_status_.ok()) {
    status = write_status_;
    progress_.always("reform: error: " + status.message);
  }
  return status.ok() && broken_pipe_ ? kBrokenPipeExit : int(status.code);
}

}  // namespace reform::tool
