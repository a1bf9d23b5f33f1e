// What Python's str does, on texts that know where they came from.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/jinja/text.h"

namespace reform::jinja {

Text cased(const Text& text, Case wanted);
Text capitalized(const Text& text);
// Each run of letters in title case, as str.title().
Text titled(const Text& text);

enum class Side { kLeft, kRight, kBoth };
// Without white space at its ends, or without the characters of `characters`.
Text stripped(const Text& text, Side side);
Text stripped(const Text& text, Side side, std::string_view characters);
int64_t strip_steps(const Text& text, const Text& characters);  // about what that may take

// Where `part` stands in the text, from `pos` on; npos: nowhere. In linear time.
size_t find_part(std::string_view text, std::string_view part, size_t pos = 0);

// Parts between white space; the limit's rest is one part. limit < 0: none. from_right: the limit counts from the end.
std::vector<Text> split_at_space(const Text& text, int64_t limit, bool from_right);
std::vector<Text> split_at(const Text& text, std::string_view separator, int64_t limit, bool from_right);
std::vector<Text> split_lines(const Text& text, bool keep_ends);

// Of the first `limit` places; limit < 0: all. An empty `old` stands between all characters.
Text replaced(const Text& text, std::string_view old, const Text& with, int64_t limit);
// Places of `part` that do not overlap; an empty one stands between all characters.
int64_t count_of(std::string_view text, std::string_view part);

// For HTML.
Text escaped(const Text& text);

Text joined(const std::vector<Text>& parts, const Text& between);

}  // namespace reform::jinja
