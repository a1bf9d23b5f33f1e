#include "storage/format/context_name.h"

#include <utf8cpp/utf8.h>

#include <algorithm>

#include "base/blank.h"

namespace reform {
namespace {

bool is_between(char32_t c, char32_t first, char32_t last) { return first <= c && c <= last; }

// C0, DEL and C1; what ends a line; what turns the direction of writing.
bool is_control(char32_t c) {
  return c < 0x20 || is_between(c, 0x7f, 0x9f) || c == 0x061c || is_between(c, 0x200e, 0x200f) ||
         is_between(c, 0x2028, 0x202e) || is_between(c, 0x2066, 0x2069);
}

// Chooses how the character before it is drawn, as in emoji: a variation selector or a tag.
bool is_part_of_the_last(char32_t c) { return is_between(c, 0xfe00, 0xfe0f) || is_between(c, 0xe0020, 0xe01ef); }

}  // namespace

Status check_context_name(const std::string& name) {
  if (name.empty() || name.size() > 128) {
    return {Code::kUsage, "a context's name has 1 to 128 bytes, this one has " + std::to_string(name.size())};
  }
  if (!utf8::is_valid(name.begin(), name.end())) return {Code::kUsage, "a context's name must be valid UTF-8"};
  const std::u32string points = utf8::utf8to32(name);
  if (std::any_of(points.begin(), points.end(), is_control)) {
    return {Code::kUsage, "a context's name must not contain control characters"};
  }
  if (std::all_of(points.begin(), points.end(), is_blank)) {
    return {Code::kUsage, "a context's name must have a character that shows"};
  }
  if (is_blank(points.front()) || (is_blank(points.back()) && !is_part_of_the_last(points.back()))) {
    return {Code::kUsage, "a context's name must not begin or end with a blank"};
  }
  if (name == "." || name == ".." || name.find('/') != name.npos) {
    return {Code::kUsage, "a context's name is no path: '.', '..' and names with a '/' are refused"};
  }
  return {};
}

}  // namespace reform
