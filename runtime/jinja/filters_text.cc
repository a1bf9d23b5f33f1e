// The filters that make text.
#include <fmt/format.h>

#include <algorithm>

#include "base/try.h"
#include "runtime/jinja/bind.h"
#include "runtime/jinja/filters.h"
#include "runtime/jinja/interpreter.h"
#include "runtime/jinja/methods.h"
#include "runtime/jinja/operations.h"
#include "runtime/jinja/text_functions.h"

namespace reform::jinja {
namespace {

Result<Value> upper(Interpreter& in, const Value& input, const Arguments&) {
  TRY_ASSIGN(const Text text, in.printed(input));
  return Value(cased(text, Case::kUpper));
}
Result<Value> lower(Interpreter& in, const Value& input, const Arguments&) {
  TRY_ASSIGN(const Text text, in.printed(input));
  return Value(cased(text, Case::kLower));
}
Result<Value> capitalize(Interpreter& in, const Value& input, const Arguments&) {
  TRY_ASSIGN(const Text text, in.printed(input));
  return Value(capitalized(text));
}

// Jinja's own: words begin behind white space and - ( { [ < only.
Result<Value> title(Interpreter& in, const Value& input, const Arguments&) {
  TRY_ASSIGN(const Text text, in.printed(input));
  Text result;
  bool in_word = false;
  for (size_t pos = 0; pos < text.size();) {
    const Character c = character_at(text.bytes(), pos);
    const bool is_border =
        is_space(c.code_point) || std::string_view("-({[<").find(text.bytes()[pos]) != std::string_view::npos;
    if (c.code_point < 0 || is_border)
      result.append(text, c.begin, c.end);
    else
      result.append_made_from(in_case(c.code_point, in_word ? Case::kLower : Case::kUpper), text, c.begin, c.end);
    in_word = !is_border;
    pos = c.end;
  }
  return Value(std::move(result));
}

Result<Value> trim(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("trim", given, {{"chars", Value(None{})}}));
  TRY_ASSIGN(const Text text, in.printed(input));
  if (values[0].is_none()) return Value(stripped(text, Side::kBoth));
  TRY_ASSIGN(const Text characters, string_of("trim", values[0]));
  TRY(in.charge(strip_steps(text, characters)));
  return Value(stripped(text, Side::kBoth, characters.bytes()));
}

// A filter that is a method of str, of the value as text.
Result<Value> by_method(Interpreter& in, const Value& input, const char* name, const Arguments& given) {
  TRY_ASSIGN(Text text, in.printed(input));
  const Value self(std::move(text));
  return find_method(self, name)(in, self, given);
}

Result<Value> center(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("center", given, {{"width", Value(80)}}));
  return by_method(in, input, "center", {{values[0]}, {}});
}

Result<Value> replace(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(auto values, bind("replace", given, {{"old"}, {"new"}, {"count", Value(None{})}}));
  if (values[2].is_none()) values[2] = Value(-1);
  for (size_t i = 0; i < 2; ++i) {
    TRY_ASSIGN(Text text, in.printed(values[i]));
    values[i] = Value(std::move(text));
  }
  return by_method(in, input, "replace", {values, {}});
}

Result<Value> indent(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const auto values,
             bind("indent", given, {{"width", Value(4)}, {"first", Value(false)}, {"blank", Value(false)}}));
  TRY_ASSIGN(Text text, string_of("indent", input));
  Text indention;
  if (values[0].is_text()) {
    indention = values[0].text();
  } else {
    TRY_ASSIGN(const int64_t width, whole_number("indent", values[0]));
    if (width > 1000) return template_error("indent by more than 1000");
    indention = Text(std::string(size_t(std::max<int64_t>(width, 0)), ' '));
  }
  text.append("\n");
  const std::vector<Text> lines = split_lines(text, false);
  TRY(in.charge_bytes(int64_t(lines.size() * (indention.size() + 1))));
  TRY(in.charge(int64_t(lines.size())));
  Text result;
  if (values[1].truth()) result.append(indention);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) result.append("\n");
    if (i > 0 && (values[2].truth() || !lines[i].empty())) result.append(indention);
    result.append(lines[i]);
  }
  return Value(std::move(result));
}

Result<Value> escape(Interpreter& in, const Value& input, const Arguments&) {
  TRY_ASSIGN(Text text, in.printed(input));
  if (text.is_markup()) return Value(std::move(text));
  TRY(in.charge_bytes(int64_t(text.size()) * 6));
  text = escaped(text);
  text.set_markup();
  return Value(std::move(text));
}

Result<Value> safe(Interpreter& in, const Value& input, const Arguments&) {
  TRY_ASSIGN(Text text, in.printed(input));
  text.set_markup();
  return Value(std::move(text));
}

// `value | format(a, b)`.
Result<Value> format(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(const Text text, in.printed(input));
  if (!given.positional.empty() && !given.named.empty())
    return template_error("format takes values with names or without, not both");
  Value values = Value::list(given.positional, List::Kind::kTuple);
  if (!given.named.empty()) {
    auto dict = std::make_shared<Dict>();
    for (const auto& [name, value] : given.named) dict->set(Value(name), value);
    values = Value(std::move(dict));
  }
  TRY_ASSIGN(Text result, formatted(in, text, values));
  return Value(std::move(result));
}

Result<Value> truncate(Interpreter& in, const Value& input, const Arguments& given) {
  TRY_ASSIGN(
      const auto values,
      bind("truncate", given,
           {{"length", Value(255)}, {"killwords", Value(false)}, {"end", Value("...")}, {"leeway", Value(None{})}}));
  TRY_ASSIGN(const int64_t wanted, whole_number("truncate", values[0]));
  TRY_ASSIGN(const Text end, string_of("truncate", values[2]));
  int64_t leeway = 5;
  if (!values[3].is_none()) {
    TRY_ASSIGN(leeway, whole_number("truncate", values[3]));
  }
  TRY_ASSIGN(const Text text, string_of("truncate", input));
  const int64_t end_length = int64_t(count_characters(end.bytes()));
  if (wanted < end_length || leeway < 0) return template_error("truncate's length is below that of its end");
  const std::vector<size_t> begins = character_begins(text.bytes());
  TRY(in.charge(int64_t(begins.size())));
  const int64_t n = int64_t(begins.size()) - 1;
  if (n <= wanted || n - wanted <= leeway) return Value(text);
  Text result = text.part(0, begins[size_t(wanted - end_length)]);
  if (!values[1].truth())
    if (const size_t space = result.bytes().rfind(' '); space != std::string::npos) result = result.part(0, space);
  result.append(end);
  return Value(std::move(result));
}

Result<Value> wordcount(Interpreter& in, const Value& input, const Arguments&) {
  TRY_ASSIGN(const Text text, in.printed(input));
  int64_t words = 0;
  bool in_word = false;
  for (size_t pos = 0; pos < text.size();) {
    const Character c = character_at(text.bytes(), pos);
    const bool is_word = c.code_point == '_' || is_alpha(c.code_point) || is_numeric(c.code_point);
    words += is_word && !in_word ? 1 : 0;
    in_word = is_word;
    pos = c.end;
  }
  return Value(words);
}

std::string url_quoted(const std::string& bytes, bool for_query) {
  std::string result;
  for (const char c : bytes) {
    if (std::isalnum(static_cast<unsigned char>(c)) || std::string_view("_.-~").find(c) != std::string_view::npos ||
        (c == '/' && !for_query))
      result += c;
    else if (c == ' ' && for_query)
      result += '+';
    else
      result += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return result;
}

// What came from a content stays its, however it is written.
Result<Text> url_part(Interpreter& in, const Value& value, bool for_query) {
  TRY_ASSIGN(const Text text, in.printed(value));
  TRY(in.charge_bytes(int64_t(text.size()) * 3));
  Text result;
  result.append_made_from(url_quoted(text.bytes(), for_query), text, 0, text.size());
  return result;
}

Result<Value> urlencode(Interpreter& in, const Value& input, const Arguments&) {
  if (!input.is_dict() && !input.is_list()) {
    TRY_ASSIGN(Text text, url_part(in, input, false));
    return Value(std::move(text));
  }
  Value pairs = input;
  if (input.is_dict()) {
    TRY_ASSIGN(pairs, find_method(input, "items")(in, input, {}));
  }
  TRY_ASSIGN(const std::vector<Value> items, in.items_of(pairs));
  Text result;
  for (const Value& item : items) {
    if (!item.is_list() || item.list().items.size() != 2) return template_error("urlencode needs pairs");
    if (!result.empty()) result.append("&");
    TRY_ASSIGN(const Text key, url_part(in, item.list().items[0], true));
    TRY_ASSIGN(const Text value, url_part(in, item.list().items[1], true));
    result.append(key);
    result.append("=");
    result.append(value);
  }
  return Value(std::move(result));
}

constexpr NamedFilter kTextFilters[] = {
    {"capitalize", without_arguments<capitalize>},
    {"center", center},
    {"e", without_arguments<escape>},
    {"escape", without_arguments<escape>},
    {"forceescape", without_arguments<escape>},
    {"format", format},
    {"indent", indent},
    {"lower", without_arguments<lower>},
    {"replace", replace},
    {"safe", without_arguments<safe>},
    {"title", without_arguments<title>},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", without_arguments<upper>},
    {"urlencode", without_arguments<urlencode>},
    {"wordcount", without_arguments<wordcount>},
};

}  // namespace

std::span<const NamedFilter> text_filters() { return kTextFilters; }

}  // namespace reform::jinja
