// Numbers, sizes and quotes as people read and type them.
#pragma once

#include <reform/status.h>
#include <reform/store.h>
#include <reform/units.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace reform::tool {

// "65536", "512MiB", "1.5 GiB": digits, and a unit or none: KiB, MiB, GiB or TiB (K, M, G, T mean the same), or B. With
// one of the larger units a point and more digits may follow; what comes to less than a byte, but is not 0, is refused.
Result<int64_t> parse_size(std::string_view text);

std::string format_duration(double seconds);    // "0.42 s", "9.1 s", "1:23", "2:03:04"; "?" below zero
std::string format_date(int64_t unix_seconds);  // local time, "2026-01-31 09:05"

// All that a context takes on disk and what each token takes of that, the checkpoints' part named:
// "57.9 MiB, 9,962 bytes per token; 54.3 MiB of it checkpoints".
std::string format_disk(const ContextInfo& context);

// Removes control characters, so that a hostile text or file name cannot control the terminal. Line feeds and tabs stay
// if `keep_lines`. Invalid UTF-8 stays unchanged.
std::string printable(std::string_view text, bool keep_lines);

// One line of at most `max_chars` characters. White space is collapsed, control characters are removed, and "…" in the
// middle marks what was left out.
std::string quote(std::string_view text, int max_chars);

// The columns that a UTF-8 text takes, one for each character.
int display_width(std::string_view text);

}  // namespace reform::tool
