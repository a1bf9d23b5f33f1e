// The progress line on standard error: one live line on a terminal, a plain line every few seconds elsewhere.
#pragma once

#include <reform/ingest.h>

#include <chrono>
#include <functional>
#include <mutex>
#include <string>

namespace reform::tool {

// "1,234 / 56,789 tokens  2 %  1,480 tokens/s  ETA 0:38  saved 1,024  memory 512.0 MiB". What does not fit into
// `max_columns` is left out, the least important part first.
std::string ingest_line(const IngestProgress& progress, int max_columns);

// "licence: 12.0 MiB / 31.5 MiB  38 %  120.0 MiB/s"; total_bytes 0: unknown.
std::string bytes_line(const std::string& what, int64_t done_bytes, int64_t total_bytes, double seconds,
                       int max_columns);

class ProgressLine;
// Shows bytes_line() for each report; the rate is since work on its context began. `what`: shown in place of its name.
BytesProgressCallback show_bytes(ProgressLine& line, const std::string& what = "");

// Thread-safe. While it is in use, everything for standard error must go through it, so that lines do not mix.
class ProgressLine {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;
  using Sink = std::function<void(const std::string& bytes)>;

  static constexpr int kPlainColumns = 120;
  static constexpr std::chrono::milliseconds kLiveInterval{100};
  static constexpr std::chrono::milliseconds kPlainInterval{5000};

  // live: standard error is a terminal of `columns()` columns.
  ProgressLine(bool live, std::function<int()> columns, Sink sink, Clock clock = std::chrono::steady_clock::now);
  static ProgressLine& standard_error();

  bool live() const { return live_; }
  void set_quiet(bool quiet) { quiet_ = quiet; }
  // Shows make(columns), but not more often than the intervals above.
  void update(const std::function<std::string(int columns)>& make);
  // On a terminal only: a step that needs no line of its own elsewhere ("query", "gather").
  void phase(const std::string& text);
  void clear();  // removes the live line
  // Prints a line that stays; the live line is drawn again below it.
  void remark(const std::string& line);
  void always(const std::string& line);   // the same even if quiet, for errors
  void stream(const std::string& piece);  // a piece of a text that stays; nothing if quiet

 private:
  void write_above(const std::string& line);
  void draw(const std::string& line);

  const bool live_;
  bool quiet_ = false;
  const std::function<int()> columns_;
  const Sink sink_;
  const Clock clock_;
  std::mutex mutex_;
  std::string shown_;  // the live line on the screen
  bool drawn_once_ = false;
  std::chrono::steady_clock::time_point last_draw_;
};

}  // namespace reform::tool
