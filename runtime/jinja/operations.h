// What operators, dots and brackets do to values, and how values are written: as in Python.
#pragma once

#include <reform/status.h>

#include <string>

#include "runtime/jinja/value.h"

namespace reform::jinja {

// + - * / // % **. For "%" of a string: formatted().
Result<Value> arithmetic(const std::string& sign, const Value& left, const Value& right);
// The bytes that a repetition would make, known before it is done; 0 for all else.
int64_t result_bytes(const std::string& sign, const Value& left, const Value& right);
// `item in container`.
Result<bool> contains(const Value& container, const Value& item);

// object.name: a method, else an item. Undefined if there is neither.
Result<Value> attribute_of(const Value& object, const std::string& name);
// object[key]: an item, else an attribute. Undefined if there is neither.
Result<Value> item_of(const Value& object, const Value& key);
// object[begin:end:step]; None where a part is left out.
Result<Value> slice_of(const Value& object, const Value& begin, const Value& end, const Value& step);

// str(value). Nothing for what is undefined. An error for what has no fixed form, such as a generator.
Result<Text> to_text(const Value& value);
// repr(value).
Result<Text> to_repr(const Value& value);
std::string float_repr(double value);

struct JsonStyle {
  std::string indent;  // of one level; has_indent: one value a line
  bool has_indent = false;
  std::string item_separator = ", ", key_separator = ": ";
  bool sort_keys = false, ascii_only = false;
};
// json.dumps(value).
Result<Text> to_json(const Value& value, const JsonStyle& style);

// `format % values` of Python.
Result<Text> formatted(Interpreter& interpreter, const Text& format, const Value& values);
// `format.format(…)` of Python: {}, {0}, {name}, with a width, an alignment, a number of digits and a type.
Result<Text> formatted_by_braces(Interpreter& interpreter, const Text& format, const Arguments& given);

}  // namespace reform::jinja
