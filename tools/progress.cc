#include "tools/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "tools/descriptors.h"
#include "tools/text.h"

namespace reform::tool {
namespace {

int terminal_columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

// If that fails, nobody is left to read it.
void write_standard_error(const std::string& bytes) { (void)write_fully(STDERR_FILENO, bytes); }

// Whether a line can be taken back there. A terminal without a name can do no more than a dumb one.
bool is_live_terminal() {
  const char* const name = std::getenv("TERM");
  const std::string_view kind = name == nullptr ? "" : name;
  return isatty(STDERR_FILENO) == 1 && !kind.empty() && kind != "dumb";
}

constexpr double kSettledSeconds = 0.5;  // before that a rate says nothing

// The parts that fit, in their order.
std::string join_parts(const std::vector<std::string>& parts, int max_columns) {
  std::string line;
  for (const std::string& part : parts) {
    const int gap = line.empty() ? 0 : line.back() == ':' ? 1 : 2;
    if (display_width(line) + gap + display_width(part) > max_columns) break;
    line += std::string(size_t(gap), ' ') + part;
  }
  return line;
}

// Also erases to the end of the line, in case the terminal was made narrower.
constexpr const char* kErase = "\r\x1b[2K";

}  // namespace

std::string ingest_line(const IngestProgress& p, int max_columns) {
  std::vector<std::string> parts;  // the most important first
  if (!p.phase.empty() && p.phase != "compress") parts.push_back(p.phase + ":");
  if (p.tokens_total > 0) {
    // The total is an estimate until the end is read, and may be too small.
    const int64_t total = std::max(p.tokens_total, p.tokens_done);
    parts.push_back(fmt::format("{} / {} tokens", format_count(p.tokens_done), format_count(total)));
    parts.push_back(fmt::format("{} %", int64_t(100.0 * double(p.tokens_done) / double(total))));
  } else {
    parts.push_back(fmt::format("{} tokens", format_count(p.tokens_done)));
  }
  if (p.tokens_per_s > 0) parts.push_back(format_count(int64_t(p.tokens_per_s + 0.5)) + " tokens/s");
  if (p.eta_s >= 0) parts.push_back("ETA " + format_duration(p.eta_s));
  if (p.host_bytes > 0) parts.push_back("memory " + format_bytes(p.host_bytes));
  parts.push_back("saved " + format_count(p.tokens_saved));
  return join_parts(parts, max_columns);
}

std::string bytes_line(const std::string& what, int64_t done_bytes, int64_t total_bytes, double seconds,
                       int max_columns) {
  std::vector<std::string> parts = {quote(what, max_columns / 2) + ":"};
  if (total_bytes > 0) {
    const int64_t done = std::min(done_bytes, total_bytes);
    parts.push_back(fmt::format("{} / {}", format_bytes(done), format_bytes(total_bytes)));
    parts.push_back(fmt::format("{} %", int64_t(100.0 * double(done) / double(total_bytes))));
  } else {
    parts.push_back(format_bytes(done_bytes));
  }
  if (seconds >= kSettledSeconds) parts.push_back(format_bytes(int64_t(double(done_bytes) / seconds)) + "/s");
  return join_parts(parts, max_columns);
}

BytesProgressCallback show_bytes(ProgressLine& line, const std::string& what) {
  using std::chrono::steady_clock;
  return [&line, what, shown = std::string(), begun = steady_clock::now()](
             const std::string& context, int64_t done_bytes, int64_t total_bytes) mutable {
    if (context != shown && !shown.empty()) begun = steady_clock::now();
    shown = context;
    const std::chrono::duration<double> time = steady_clock::now() - begun;
    line.update([&](int columns) {
      return bytes_line(what.empty() ? context : what, done_bytes, total_bytes, time.count(), columns);
    });
  };
}

ProgressLine::ProgressLine(bool live, std::function<int()> columns, Sink sink, Clock clock)
    : live_(live), columns_(std::move(columns)), sink_(std::move(sink)), clock_(std::move(clock)) {}

ProgressLine& ProgressLine::standard_error() {
  static ProgressLine line(is_live_terminal(), terminal_columns, write_standard_error);
  return line;
}

void ProgressLine::update(const std::function<std::string(int)>& make) {
  const std::lock_guard lock(mutex_);
  if (quiet_) return;
  const auto now = clock_();
  if (drawn_once_ && now - last_draw_ < (live_ ? kLiveInterval : kPlainInterval)) return;
  // A line as wide as the terminal would wrap, and \r would not find its beginning.
  const std::string line = make(live_ ? std::max(1, columns_() - 1) : kPlainColumns);
  last_draw_ = now;
  drawn_once_ = true;
  if (live_) {
    draw(line);
  } else {
    sink_(line + "\n");
  }
}

void ProgressLine::phase(const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (live_ && !quiet_) draw(quote(text, std::max(1, columns_() - 1)));
}

void ProgressLine::clear() {
  const std::lock_guard lock(mutex_);
  if (!shown_.empty()) sink_(kErase);
  shown_.clear();
}

void ProgressLine::remark(const std::string& line) {
  const std::lock_guard lock(mutex_);
  if (!quiet_) write_above(line);
}

void ProgressLine::stream(const std::string& piece) {
  const std::lock_guard lock(mutex_);
  if (quiet_) return;
  sink_((shown_.empty() ? "" : kErase) + piece);
  shown_.clear();
}

void ProgressLine::always(const std::string& line) {
  const std::lock_guard lock(mutex_);
  write_above(line);
}

void ProgressLine::write_above(const std::string& line) {
  sink_((shown_.empty() ? "" : kErase) + line + "\n" + shown_);
}

void ProgressLine::draw(const std::string& line) {
  sink_((shown_.empty() ? "" : kErase) + line);
  shown_ = line;
}

}  // namespace reform::tool
