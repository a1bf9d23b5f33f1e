#include "tools/serve/raw_member.h"

#include <cstddef>

namespace reform::tool {
namespace {

constexpr const char* kJsonSpace = " \t\r\n";

// Behind the string that begins at `at`.
size_t end_of_string(std::string_view text, size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) at += text[at] == '\\' ? 1 : 0;
  return at + 1;
}

// Behind the value that begins at `at`.
size_t end_of_value(std::string_view text, size_t at) {
  for (int depth = 0; at < text.size();) {
    const char c = text[at];
    if (depth == 0 && (c == ',' || c == '}' || c == ']')) break;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    at = c == '"' ? end_of_string(text, at) : at + 1;
  }
  return at;
}

}  // namespace

std::string_view raw_member(std::string_view object, std::string_view name) {
  std::string_view found;
  size_t at = object.find('{');
  while (at < object.size() && object[at] != '}') {
    const size_t key = object.find_first_not_of(kJsonSpace, at + 1);
    if (key >= object.size() || object[key] != '"') break;
    const size_t key_end = end_of_string(object, key);
    const size_t value = object.find(':', key_end);
    if (value >= object.size()) break;
    at = end_of_value(object, value + 1);
    if (object.substr(key + 1, key_end - key - 2) == name) found = object.substr(value + 1, at - value - 1);
  }
  return found;
}

}  // namespace reform::tool
