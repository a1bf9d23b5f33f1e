// Jinja2's filters, by name.
#pragma once

#include <reform/status.h>

#include <span>
#include <string_view>

#include "runtime/jinja/value.h"

namespace reform::jinja {

using Filter = Result<Value> (*)(Interpreter&, const Value& input, const Arguments&);
struct NamedFilter {
  std::string_view name;
  Filter run;
};

Filter find_filter(std::string_view name);  // null: there is none

// A filter that takes nothing but its input.
template <Filter run>
Result<Value> without_arguments(Interpreter& in, const Value& input, const Arguments& given) {
  if (!given.positional.empty() || !given.named.empty()) return template_error("the filter takes no arguments");
  return run(in, input, given);
}

std::span<const NamedFilter> text_filters();
std::span<const NamedFilter> value_filters();
std::span<const NamedFilter> list_filters();
std::span<const NamedFilter> order_filters();

}  // namespace reform::jinja
