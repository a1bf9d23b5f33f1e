// A number of an option, checked against its range.
#pragma once

#include <fmt/format.h>
#include <reform/ranges.h>
#include <reform/status.h>

namespace reform {

// kUsage with the name, unless the range holds it.
template <class Number>
Status in_range(const char* name, Number value, Range<Number> range) {
  if (range.holds(value)) return {};
  return {Code::kUsage, fmt::format("{} is {}; expected {} to {}", name, value, range.least, range.most)};
}

}  // namespace reform
