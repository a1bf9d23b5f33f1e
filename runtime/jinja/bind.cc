#include "runtime/jinja/bind.h"

#include <algorithm>

#include "base/try.h"

namespace reform::jinja {

Result<std::vector<Value>> bind(const std::string& what, const Arguments& given, std::initializer_list<Wanted> wanted) {
  if (given.positional.size() > wanted.size())
    return template_error(what + " takes " + std::to_string(wanted.size()) + " arguments at most");
  std::vector<std::optional<Value>> values(given.positional.begin(), given.positional.end());
  values.resize(wanted.size());
  for (const auto& [name, value] : given.named) {
    const auto* const found =
        std::find_if(wanted.begin(), wanted.end(), [&, &key = name](const Wanted& w) { return w.name == key; });
    if (found == wanted.end()) return template_error(what + " takes no argument '" + name + "'");
    auto& place = values[size_t(found - wanted.begin())];
    if (place) return template_error(what + " got two values for '" + name + "'");
    place = value;
  }
  std::vector<Value> bound;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Wanted& w = *(wanted.begin() + long(i));
    if (!values[i] && !w.otherwise) return template_error(what + " needs '" + w.name + "'");
    bound.push_back(values[i] ? *values[i] : *w.otherwise);
  }
  return bound;
}

Result<int64_t> whole_number(const std::string& what, const Value& value) {
  if (value.is_undefined()) return template_error(value.undefined_what());
  if (!value.is_whole()) return template_error(what + " needs a whole number, not a " + value.type_name());
  return value.whole();
}

Result<Text> string_of(const std::string& what, const Value& value) {
  if (value.is_undefined()) return template_error(value.undefined_what());
  if (!value.is_text()) return template_error(what + " needs a string, not a " + value.type_name());
  return value.text();
}

}  // namespace reform::jinja
