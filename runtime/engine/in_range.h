// A number of an option, checked against its limits.
#pragma once

#include <fmt/format.h>
#include <reform/status.h>

#include <type_traits>

namespace reform {

// kUsage with the name, unless low <= value <= high.
template <class Number>
Status in_range(const char* name, Number value, std::type_identity_t<Number> low, std::type_identity_t<Number> high) {
  if (value >= low && value <= high) return {};
  return {Code::kUsage, fmt::format("{} is {}; expected {} to {}", name, value, low, high)};
}

}  // namespace reform
