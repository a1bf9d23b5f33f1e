// A header's value with parameters: `text/plain; charset=utf-8`, `form-data; name="a"; filename="b.txt"`.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace reform::tool {

std::string lower(std::string_view text);  // of ASCII

struct HeaderValue {
  std::string value;  // in small letters
  std::map<std::string, std::string> parameters;

  bool has(const std::string& name) const { return parameters.contains(name); }
  std::string get(const std::string& name) const { return has(name) ? parameters.at(name) : ""; }
};
// Of any text: what has no such form has no value or no parameters. Of two parameters of a name the first counts.
HeaderValue header_value(std::string_view text);

}  // namespace reform::tool
