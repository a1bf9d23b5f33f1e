// The filters that take one value.
#include "runtime/jinja/filters.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/try.h"
#include "runtime/jinja/bind.h"
#include "runtime/jinja/interpreter.h"
#include "runtime/jinja/literals.h"
#include "runtime/jinja/operations.h"
#include "runtime/jinja/text_functions.h"

namespace reform::jinja {
namespace {

Result<Value> absolute(Interpreter&, const Value& input, const Arguments&) {
  if (input.is_double()) return Value(std::abs(input.number()));
  TRY_ASSIGN(const int64_t number, whole_number("abs", input));
  return number < 0 ? arithmetic("-", Value(0), Value(number)) : Value(number);
}

Result<Value> attribute(Interpreter&, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("attr", given, {{"name"}}));
  TRY_ASSIGN(const Text name, string_of("attr", values[0]));
  if (input.is_dict() && !input.dict()->is_namespace && input.dict()->find_name(name.bytes()))
    return Value::undefined("'dict' has no attribute '" + name.bytes() + "'");
  return attribute_of(input, name.bytes());
}

Result<Value> defaulted(Interpreter&, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("default", given, {{"default_value", Value("")}, {"boolean", Value(false)}}));
  return input.is_undefined() || (values[1].truth() && !input.truth()) ? values[0] : input;
}

// Without the single underscores that stand between two characters of a number.
std::string without_underscores(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool between = text[i] == '_' && i > 0 && i + 1 < text.size() &&
                         std::isalnum(static_cast<unsigned char>(text[i - 1])) &&
                         std::isalnum(static_cast<unsigned char>(text[i + 1]));
    if (!between) result += text[i];
  }
  return result;
}

// The number that a text spells, as float() of Python reads it.
std::optional<double> float_of(const std::string& bytes) {
  std::string text = without_underscores(stripped(Text(bytes), Side::kBoth).bytes());
  std::string_view digits = text;
  if (digits.starts_with('+') && !digits.substr(1).starts_with('-')) digits.remove_prefix(1);
  if (digits.empty()) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (end != digits.data() + digits.size() || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range) return text.find("e-") != text.npos ? 0.0 : HUGE_VAL;
  return value;
}

std::optional<int64_t> whole_of(const std::string& bytes, int64_t base) {
  std::string text = stripped(Text(bytes), Side::kBoth).bytes();
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.erase(0, 1);
  const auto prefixed = [&](char letter) { return text.size() > 2 && text[0] == '0' && (text[1] | 32) == letter; };
  for (const auto& [letter, prefix_base] : {std::pair('x', 16), std::pair('o', 8), std::pair('b', 2)})
    if (prefixed(letter) && (base == prefix_base || base == 0)) {
      text.erase(0, 2);
      base = prefix_base;
      if (text.starts_with('_')) text.erase(0, 1);
    }
  if (base == 0) base = 10;
  text = without_underscores(text);
  if (text.empty() || text[0] == '-' || base < 2 || base > 36) return std::nullopt;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, int(base));
  if (end != text.data() + text.size() || error != std::errc()) return std::nullopt;
  return negative ? -value : value;
}

Result<Value> to_float(Interpreter&, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("float", given, {{"default", Value(0.0)}}));
  if (input.is_undefined()) return template_error(input.undefined_what());
  if (input.is_number()) return Value(input.number());
  if (!input.is_text()) return values[0];
  const auto number = float_of(input.bytes());
  return number ? Value(*number) : values[0];
}

Result<Value> to_int(Interpreter&, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("int", given, {{"default", Value(0)}, {"base", Value(10)}}));
  TRY_ASSIGN(const int64_t base, whole_number("int", values[1]));
  if (input.is_undefined()) return template_error(input.undefined_what());
  if (input.is_whole()) return Value(input.whole());
  std::optional<double> number;
  if (input.is_text()) {
    if (const auto whole = whole_of(input.bytes(), base)) return Value(*whole);
    number = float_of(input.bytes());
  } else if (input.is_double()) {
    number = input.number();
  }
  if (!number || !std::isfinite(*number)) return values[0];
  if (std::abs(*number) >= 9.2e18) return template_error("a number does not fit into 64 bits");
  return Value(int64_t(*number));
}

Result<Value> length(Interpreter&, const Value& input, const Arguments&) {
  if (input.is_undefined()) return Value(0);
  if (input.is_text()) return Value(count_characters(input.bytes()));
  if (input.is_dict() && !input.dict()->is_namespace) return Value(input.dict()->items.size());
  if (input.is_list() && input.list().kind != List::Kind::kOnce) return Value(input.list().items.size());
  return template_error("a value of type " + input.type_name() + " has no length");
}

// As Python: to the nearest even where both are as near, seen at the exact value of the number.
double rounded(double value, int64_t precision) {
  if (!std::isfinite(value) || precision > 300) return value;
  if (precision >= 0) {
    char digits[800];
    const auto end = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::fixed, int(precision)).ptr;
    std::from_chars(digits, end, value);
    return value;
  }
  const double unit = std::pow(10, double(-precision));
  return std::isfinite(unit) ? std::nearbyint(value / unit) * unit : 0;
}

Result<Value> round_number(Interpreter&, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("round", given, {{"precision", Value(0)}, {"method", Value("common")}}));
  TRY_ASSIGN(const int64_t precision, whole_number("round", values[0]));
  TRY_ASSIGN(const Text method, string_of("round", values[1]));
  if (input.is_undefined()) return template_error(input.undefined_what());
  if (precision < -400 || precision > 400) return template_error("round to more than 400 digits");
  if (!input.is_number()) return template_error("round needs a number, not a " + input.type_name());
  if (method.bytes() == "common") {
    if (input.is_double()) return Value(rounded(input.number(), precision));
    if (precision >= 0) return Value(input.whole());
    const double result = rounded(input.number(), precision);
    if (std::abs(result) >= 9.2e18) return template_error("a number does not fit into 64 bits");
    return Value(int64_t(result));
  }
  if (method.bytes() != "ceil" && method.bytes() != "floor")
    return template_error("round knows the methods common, ceil and floor");
  const double unit = std::pow(10, double(precision)), scaled = input.number() * unit;
  if (!std::isfinite(scaled)) return template_error("a number is too large to be rounded");
  return Value((method.bytes() == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

Result<Value> as_string(Interpreter& in, const Value& input, const Arguments&) {
  TRY_ASSIGN(Text text, in.printed(input));
  return Value(std::move(text));
}

// A string that is written between values: the template's own, and short.
Result<std::string> json_mark(const Value& value) {
  constexpr size_t kMostBytes = 100;
  TRY_ASSIGN(const Text text, string_of("tojson", value));
  if (text.size() > kMostBytes || !text.origins().empty())
    return template_error("tojson's indent and separators are short strings that the template itself spells");
  return text.bytes();
}

Result<Value> to_json_text(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("tojson", given,
                                     {{"ensure_ascii", Value(false)},
                                      {"indent", Value(None{})},
                                      {"separators", Value(None{})},
                                      {"sort_keys", Value(false)}}));
  JsonStyle style;
  style.ascii_only = values[0].truth();
  style.sort_keys = values[3].truth();
  if (!values[1].is_none()) {
    style.has_indent = true;
    style.item_separator = ",";
    if (values[1].is_text()) {
      TRY_ASSIGN(style.indent, json_mark(values[1]));
    } else {
      TRY_ASSIGN(const int64_t width, whole_number("tojson's indent", values[1]));
      if (width > 100) return template_error("tojson's indent is larger than 100");
      style.indent = std::string(size_t(std::max<int64_t>(width, 0)), ' ');
    }
  }
  if (!values[2].is_none()) {
    if (!values[2].is_list() || values[2].list().items.size() != 2)
      return template_error("tojson's separators are two strings");
    TRY_ASSIGN(style.item_separator, json_mark(values[2].list().items[0]));
    TRY_ASSIGN(style.key_separator, json_mark(values[2].list().items[1]));
  }
  const auto mark_bytes = style.item_separator.size() + style.key_separator.size() + 1;
  TRY(in.charge_bytes(input.weight() * int64_t(mark_bytes + style.indent.size() * size_t(input.depth() + 1))));
  TRY_ASSIGN(Text text, to_json(input, style));
  return Value(std::move(text));
}

constexpr NamedFilter kValueFilters[] = {
    {"abs", without_arguments<absolute>},
    {"attr", attribute},
    {"count", without_arguments<length>},
    {"d", defaulted},
    {"default", defaulted},
    {"float", to_float},
    {"int", to_int},
    {"length", without_arguments<length>},
    {"round", round_number},
    {"string", without_arguments<as_string>},
    {"tojson", to_json_text},
};

}  // namespace

std::span<const NamedFilter> value_filters() { return kValueFilters; }

Filter find_filter(std::string_view name) {
  for (const auto filters : {value_filters(), text_filters(), list_filters(), order_filters()})
    for (const NamedFilter& filter : filters)
      if (filter.name == name) return filter.run;
  return nullptr;
}

}  // namespace reform::jinja
