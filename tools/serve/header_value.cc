#include "tools/serve/header_value.h"

#include <algorithm>
#include <cctype>

namespace reform::tool {
namespace {

std::string_view without_spaces(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

// A value in quotes, from behind the first one, without the second one. Browsers escape nothing with a backslash, and
// curl a quote.
std::string take_quoted(std::string_view& rest) {
  std::string value;
  while (!rest.empty() && rest.front() != '"') {
    if (rest.starts_with("\\\"")) rest.remove_prefix(1);
    value += rest.front();
    rest.remove_prefix(1);
  }
  rest.remove_prefix(std::min<size_t>(1, rest.size()));
  return value;
}

}  // namespace

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return out;
}

HeaderValue header_value(std::string_view rest) {
  HeaderValue header;
  const size_t value_end = std::min(rest.find(';'), rest.size());
  header.value = lower(without_spaces(rest.substr(0, value_end)));
  rest.remove_prefix(value_end);
  while (!rest.empty()) {
    rest.remove_prefix(std::min(rest.find_first_not_of("; \t"), rest.size()));
    const size_t end = std::min({rest.find('='), rest.find(';'), rest.size()});
    const std::string name = lower(without_spaces(rest.substr(0, end)));
    const bool has_value = end < rest.size() && rest[end] == '=';
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!has_value) continue;
    if (rest.starts_with('"')) {
      rest.remove_prefix(1);
      header.parameters.emplace(name, take_quoted(rest));
      continue;
    }
    const size_t parameter_end = std::min(rest.find(';'), rest.size());
    header.parameters.emplace(name, without_spaces(rest.substr(0, parameter_end)));
    rest.remove_prefix(parameter_end);
  }
  return header;
}

}  // namespace reform::tool
