#include "tools/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <vector>

namespace reform::tool {
namespace {

// The number of bytes of the control character at text[at]; 0 if there is none. C0 and DEL count; C1 counts only as
// UTF-8 (c2 80 … c2 9f), which terminals obey too. So do the marks that turn the order of what follows (U+202A-202E,
// U+2066-2069), which make one file's name look like another's.
size_t control_length(std::string_view text, size_t at) {
  const auto c = static_cast<unsigned char>(text[at]);
  if (c < 0x20 || c == 0x7f) return 1;
  if (c == 0xc2 && at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) - 0x80u < 0x20u) return 2;
  const std::string_view mark = text.substr(at, 3);
  const bool turns = (mark >= "\u202a" && mark <= "\u202e") || (mark >= "\u2066" && mark <= "\u2069");
  return turns ? 3 : 0;
}

// The byte offsets where characters begin, and the end. The text may be invalid UTF-8 (file names are): every byte that
// continues no character begins one.
std::vector<size_t> character_offsets(std::string_view text) {
  std::vector<size_t> offsets;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) offsets.push_back(i);
  }
  offsets.push_back(text.size());
  return offsets;
}

constexpr int64_t kMostBytes = int64_t{1} << 62;

// Of "", "B", "GiB" or "G", with blanks before it or none; 0: it is no unit.
int64_t unit_bytes(std::string_view suffix) {
  if (suffix.empty()) return 1;
  suffix.remove_prefix(std::min(suffix.find_first_not_of(' '), suffix.size()));
  if (suffix == "B") return 1;
  constexpr std::string_view kLetters = "KMGT";
  const size_t power = suffix.empty() ? kLetters.npos : kLetters.find(suffix.front());
  if (power == kLetters.npos || (suffix.size() > 1 && suffix.substr(1) != "iB")) return 0;
  return int64_t{1} << (10 * (power + 1));
}

}  // namespace

Result<int64_t> parse_size(std::string_view text) {
  const auto digits_end = [&](size_t at) { return std::min(text.find_first_not_of("0123456789", at), text.size()); };
  const size_t point = digits_end(0);
  const bool has_fraction = text.substr(point).starts_with('.');
  const size_t end = has_fraction ? digits_end(point + 1) : point;
  const int64_t unit = unit_bytes(text.substr(end));
  int64_t whole = 0;
  double fraction = 0;
  auto error = std::from_chars(text.data(), text.data() + point, whole).ec;
  if (has_fraction && error == std::errc())
    error = std::from_chars(text.data() + point, text.data() + end, fraction).ec;
  const bool is_form = error == std::errc() && unit > 0 && (!has_fraction || (unit > 1 && end > point + 1));
  if (!is_form || whole >= kMostBytes / unit) {
    return Status{Code::kUsage,
                  fmt::format("'{}' is not a size; write bytes as in 1073741824, 512MiB or 1.5GiB", text)};
  }
  const int64_t bytes = whole * unit + int64_t(fraction * double(unit));
  if (bytes == 0 && fraction > 0) return Status{Code::kUsage, fmt::format("'{}' is less than a byte", text)};
  return bytes;
}

std::string format_duration(double seconds) {
  if (!(seconds >= 0)) return "?";
  if (seconds < 1) return fmt::format("{:.2f} s", seconds);
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  if (seconds > 3.6e8) return "?";
  const int64_t total = std::llround(seconds);
  if (total < 3600) return fmt::format("{}:{:02}", total / 60, total % 60);
  return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
}

std::string format_date(int64_t unix_seconds) {
  const std::time_t time = std::time_t(unix_seconds);
  std::tm parts{};
  char text[32];
  if (localtime_r(&time, &parts) == nullptr || std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &parts) == 0)
    return "?";
  return text;
}

std::string format_disk(const ContextInfo& c) {
  std::string text =
      fmt::format("{}, {} bytes per token", format_bytes(c.disk_bytes), format_count(std::llround(c.bytes_per_token)));
  if (c.checkpoint_bytes > 0) text += fmt::format("; {} of it checkpoints", format_bytes(c.checkpoint_bytes));
  return text;
}

std::string printable(std::string_view text, bool keep_lines) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t control = control_length(text, i);
    if (control == 0 || (keep_lines && (text[i] == '\n' || text[i] == '\t'))) {
      out += text[i++];
    } else {
      if (!keep_lines) out += ' ';
      i += control;
    }
  }
  return out;
}

std::string quote(std::string_view text, int max_chars) {
  std::string line;
  for (const char c : printable(text, false)) {
    if (c != ' ' || (!line.empty() && line.back() != ' ')) line += c;
  }
  if (!line.empty() && line.back() == ' ') line.pop_back();
  const std::vector<size_t> offsets = character_offsets(line);
  const size_t n_chars = offsets.size() - 1, keep = size_t(max_chars > 1 ? max_chars - 1 : 1);
  if (n_chars <= keep + 1) return line;
  const size_t head = (keep * 2 + 2) / 3, tail = keep - head;
  return line.substr(0, offsets[head]) + "…" + line.substr(offsets[n_chars - tail]);
}

int display_width(std::string_view text) { return int(character_offsets(text).size()) - 1; }

}  // namespace reform::tool
