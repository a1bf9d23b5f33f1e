// JSON as values of templates.
#pragma once

#include <reform/status.h>

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "runtime/jinja/value.h"

namespace reform::jinja {

// Strings, keys among them, are of `source` (text.h), so that nothing in them can become a special token.
// kUsage: no JSON, nested too deep, or a number past 64 bits. Objects keep the order of their keys.
Result<Value> value_of_json(std::string_view json, int32_t source);

}  // namespace reform::jinja
