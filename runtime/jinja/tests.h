// Jinja2's tests (`x is defined`), by name or sign.
#pragma once

#include <reform/status.h>

#include <string_view>

#include "runtime/jinja/value.h"

namespace reform::jinja {

using Test = Result<bool> (*)(Interpreter&, const Value& input, const Arguments&);
Test find_test(std::string_view name);  // null: there is none

}  // namespace reform::jinja
