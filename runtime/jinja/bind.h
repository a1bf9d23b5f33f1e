// The arguments of a filter, test or method, put to the names that Python gives them.
#pragma once

#include <reform/status.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "runtime/jinja/value.h"

namespace reform::jinja {

struct Wanted {
  const char* name;
  std::optional<Value> otherwise = {};  // none: the caller must give it
};

// One value for each that is wanted, in order.
Result<std::vector<Value>> bind(const std::string& what, const Arguments& given, std::initializer_list<Wanted> wanted);

// A whole number, or what says that it is none.
Result<int64_t> whole_number(const std::string& what, const Value& value);
// The string, or what says that it is none.
Result<Text> string_of(const std::string& what, const Value& value);

}  // namespace reform::jinja
