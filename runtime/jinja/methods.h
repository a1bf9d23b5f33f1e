// The methods of Python's str, list, tuple and dict that templates may call. What would change a value is not there, as
// in Jinja's immutable sandbox.
#pragma once

#include <reform/status.h>

#include <span>
#include <string_view>

#include "runtime/jinja/value.h"

namespace reform::jinja {

using Method = Result<Value> (*)(Interpreter&, const Value& self, const Arguments&);
struct NamedMethod {
  std::string_view name;
  Method run;
};

// What stands for the methods that would change a value; it fails.
Result<Value> refused(Interpreter&, const Value& self, const Arguments&);
// null: a value of this kind has no such method.
Method find_method(const Value& object, std::string_view name);
Value bound_method(const Value& object, std::string_view name, Method method);

std::span<const NamedMethod> text_methods();

}  // namespace reform::jinja
