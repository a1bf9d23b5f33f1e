// How values are written: str(), repr() and json.dumps() of Python.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/try.h"
#include "runtime/jinja/operations.h"

namespace reform::jinja {
namespace {

// A character of a string as repr() writes it between quotes of the kind `quote`; empty: as it is.
std::string repr_escape(const Character& c, unsigned char byte, char quote) {
  if (c.code_point < 0) return fmt::format("\\udc{:02x}", byte);  // as Python keeps a byte that is no UTF-8
  switch (c.code_point) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\\':
      return "\\\\";
    default:
      break;
  }
  if (c.code_point == quote) return std::string("\\") + quote;
  if (is_printable(c.code_point)) return "";
  if (c.code_point < 0x100) return fmt::format("\\x{:02x}", c.code_point);
  return c.code_point < 0x10000 ? fmt::format("\\u{:04x}", c.code_point) : fmt::format("\\U{:08x}", c.code_point);
}

Text text_repr(const Text& text) {
  const std::string& bytes = text.bytes();
  const char quote = bytes.find('\'') != bytes.npos && bytes.find('"') == bytes.npos ? '"' : '\'';
  Text result(std::string(1, quote));
  for (size_t pos = 0; pos < bytes.size();) {
    const Character c = character_at(bytes, pos);
    const std::string escape = repr_escape(c, static_cast<unsigned char>(bytes[pos]), quote);
    if (escape.empty())
      result.append(text, c.begin, c.end);
    else
      result.append_made_from(escape, text, c.begin, c.end);
    pos = c.end;
  }
  result.append(std::string_view(&quote, 1));
  return result;
}

// `open` item, item `close`.
template <class Items, class Write>
Result<Text> joined(std::string_view open, const Items& items, std::string_view close, Write write) {
  Text text{std::string(open)};
  bool first = true;
  for (const auto& item : items) {
    if (!first) text.append(", ");
    first = false;
    TRY(write(text, item));
  }
  text.append(close);
  return text;
}

Status append_repr(Text& text, const Value& value) {
  TRY_ASSIGN(const Text repr, to_repr(value));
  text.append(repr);
  return {};
}

Result<Text> list_repr(const List& list) {
  switch (list.kind) {
    case List::Kind::kList:
      return joined("[", list.items, "]", append_repr);
    case List::Kind::kTuple:
      return joined("(", list.items, list.items.size() == 1 ? ",)" : ")", append_repr);
    case List::Kind::kView:
      return joined(list.view + "([", list.items, "])", append_repr);
    case List::Kind::kRange:
      return Text(list.view);
    case List::Kind::kOnce:
      break;
  }
  return template_error("a generator is printed; `| list` makes a list of it");
}

// A character of a string as JSON writes it; empty: as it is.
std::string json_escape(const Character& c, bool ascii_only) {
  constexpr std::string_view kLetters = "\b\f\n\r\t\"\\", kNames = "bfnrt\"\\";
  if (c.code_point < 0) return "\\ufffd";
  if (c.code_point < 0x80)
    if (const size_t i = kLetters.find(char(c.code_point)); i != kLetters.npos) return std::string("\\") + kNames[i];
  if (c.code_point < 0x20) return fmt::format("\\u{:04x}", c.code_point);
  if (c.code_point < 0x7f || !ascii_only) return "";
  if (c.code_point < 0x10000) return fmt::format("\\u{:04x}", c.code_point);
  const int32_t rest = c.code_point - 0x10000;
  return fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (rest >> 10), 0xdc00 + (rest & 0x3ff));
}

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  Status write(const Value& value, int level) {
    if (value.is_none()) return add("null");
    if (value.is_bool()) return add(value.whole() ? "true" : "false");
    if (value.is_int()) return add(std::to_string(value.whole()));
    if (value.is_double()) return add(json_number(value.number()));
    if (value.is_text()) return string(value.text());
    if (value.is_dict() && !value.dict()->is_namespace) return dict(*value.dict(), level);
    if (value.is_list() && value.list().kind <= List::Kind::kTuple) return list(value.list().items, level);
    return template_error("a value of type " + value.type_name() + " cannot be written as JSON");
  }
  Text take() { return std::move(text_); }

 private:
  Status add(std::string_view bytes) {
    text_.append(bytes);
    return {};
  }

  static std::string json_number(double value) {
    return std::isnan(value) ? "NaN" : std::isinf(value) ? (value > 0 ? "Infinity" : "-Infinity") : float_repr(value);
  }

  Status string(const Text& text) {
    text_.append("\"");
    for (size_t pos = 0; pos < text.size();) {
      const Character c = character_at(text.bytes(), pos);
      const std::string escape = json_escape(c, style_.ascii_only);
      if (escape.empty())
        text_.append(text, c.begin, c.end);
      else
        text_.append_made_from(escape, text, c.begin, c.end);
      pos = c.end;
    }
    return add("\"");
  }

  void new_line(int level) {
    if (!style_.has_indent) return;
    text_.append("\n");
    for (int i = 0; i < level; ++i) text_.append(style_.indent);
  }

  Status list(const std::vector<Value>& items, int level) {
    if (items.empty()) return add("[]");
    text_.append("[");
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) text_.append(style_.item_separator);
      new_line(level + 1);
      TRY(write(items[i], level + 1));
    }
    new_line(level);
    return add("]");
  }

  // JSON's keys are strings; Python writes numbers, True and None as such.
  static Result<Text> key_text(const Value& key) {
    if (key.is_text()) return key.text();
    if (key.is_none()) return Text("null");
    if (key.is_bool()) return Text(key.whole() ? "true" : "false");
    if (key.is_int()) return Text(std::to_string(key.whole()));
    if (key.is_double()) return Text(json_number(key.number()));
    return template_error("a " + key.type_name() + " cannot be a key in JSON");
  }

  Status dict(const Dict& dict, int level) {
    if (dict.items.empty()) return add("{}");
    auto items = dict.items;
    Status unsorted;
    if (style_.sort_keys)
      std::stable_sort(items.begin(), items.end(), [&](const auto& a, const auto& b) {
        const auto order = compare(a.first, b.first);
        if (!order.ok()) unsorted = order.status();
        return order.ok() && order.value() < 0;
      });
    TRY(unsorted);
    text_.append("{");
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) text_.append(style_.item_separator);
      new_line(level + 1);
      TRY_ASSIGN(const Text key, key_text(items[i].first));
      TRY(string(key));
      text_.append(style_.key_separator);
      TRY(write(items[i].second, level + 1));
    }
    new_line(level);
    return add("}");
  }

  const JsonStyle& style_;
  Text text_;
};

}  // namespace

// The shortest digits that read back as the same number; an exponent below 1e-4 and from 1e16 on.
std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char digits[40];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::scientific).ptr;
  const std::string scientific(digits, end);
  const size_t e = scientific.find('e');
  const int exponent = std::stoi(scientific.substr(e + 1));
  if (exponent < -4 || exponent >= 16) return scientific;
  const auto fixed_end = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::fixed).ptr;
  std::string fixed(digits, fixed_end);
  if (fixed.find('.') == fixed.npos) fixed += ".0";
  return fixed;
}

Result<Text> to_repr(const Value& value) {
  if (value.is_text()) return text_repr(value.text());
  if (value.is_list()) return list_repr(value.list());
  if (value.is_undefined()) return Text("Undefined");
  if (!value.is_dict()) return to_text(value);
  if (value.dict()->is_namespace) return template_error("a namespace cannot be printed");
  return joined("{", value.dict()->items, "}", [](Text& text, const auto& item) -> Status {
    TRY(append_repr(text, item.first));
    text.append(": ");
    return append_repr(text, item.second);
  });
}

Result<Text> to_text(const Value& value) {
  if (value.is_text()) return value.text();
  if (value.is_undefined()) return Text();
  if (value.is_none()) return Text("None");
  if (value.is_bool()) return Text(value.whole() ? "True" : "False");
  if (value.is_int()) return Text(std::to_string(value.whole()));
  if (value.is_double()) return Text(float_repr(value.number()));
  if (value.is_callable()) return template_error("'" + value.callable()->name + "' is printed without being called");
  return to_repr(value);
}

Result<Text> to_json(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  TRY(writer.write(value, 0));
  return writer.take();
}

}  // namespace reform::jinja
