// The methods of str.
#include <algorithm>

#include "base/try.h"
#include "runtime/jinja/bind.h"
#include "runtime/jinja/interpreter.h"
#include "runtime/jinja/methods.h"
#include "runtime/jinja/operations.h"
#include "runtime/jinja/text_functions.h"

namespace reform::jinja {
namespace {

Value list_of(std::vector<Text> texts, List::Kind kind = List::Kind::kList) {
  std::vector<Value> items;
  items.reserve(texts.size());
  for (Text& text : texts) items.emplace_back(std::move(text));
  return Value::list(std::move(items), kind);
}

template <Case wanted>
Result<Value> in_one_case(Interpreter&, const Value& self, const Arguments& given) {
  TRY(bind("the method", given, {}));
  return Value(cased(self.text(), wanted));
}
Result<Value> str_capitalize(Interpreter&, const Value& self, const Arguments& given) {
  TRY(bind("capitalize()", given, {}));
  return Value(capitalized(self.text()));
}
Result<Value> str_title(Interpreter&, const Value& self, const Arguments& given) {
  TRY(bind("title()", given, {}));
  return Value(titled(self.text()));
}
Result<Value> swapcase(Interpreter&, const Value& self, const Arguments&) {
  Text result;
  const std::string& bytes = self.bytes();
  for (size_t pos = 0; pos < bytes.size();) {
    const Character c = character_at(bytes, pos);
    const bool keeps = c.code_point < 0 || is_title(c.code_point);
    const std::string other = keeps                    ? bytes.substr(c.begin, c.end - c.begin)
                              : is_upper(c.code_point) ? in_case(c.code_point, Case::kLower)
                                                       : in_case(c.code_point, Case::kUpper);
    result.append_made_from(other, self.text(), c.begin, c.end);
    pos = c.end;
  }
  return Value(std::move(result));
}

template <Side side>
Result<Value> strip(Interpreter& in, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("strip()", given, {{"chars", Value(None{})}}));
  if (values[0].is_none()) return Value(stripped(self.text(), side));
  TRY_ASSIGN(const Text characters, string_of("strip()", values[0]));
  TRY(in.charge(strip_steps(self.text(), characters)));
  return Value(stripped(self.text(), side, characters.bytes()));
}

template <bool from_right>
Result<Value> split(Interpreter& in, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("split()", given, {{"sep", Value(None{})}, {"maxsplit", Value(-1)}}));
  TRY_ASSIGN(const int64_t limit, whole_number("split()", values[1]));
  TRY(in.charge(int64_t(self.text().size() / 4)));
  if (values[0].is_none()) return list_of(split_at_space(self.text(), limit, from_right));
  TRY_ASSIGN(const Text separator, string_of("split()", values[0]));
  if (separator.empty()) return template_error("split() by nothing");
  if (from_right) TRY(in.charge(strip_steps(self.text(), separator)));
  return list_of(split_at(self.text(), separator.bytes(), limit, from_right));
}

Result<Value> splitlines(Interpreter& in, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("splitlines()", given, {{"keepends", Value(false)}}));
  TRY(in.charge(int64_t(self.text().size() / 4)));
  return list_of(split_lines(self.text(), values[0].truth()));
}

template <bool from_right>
Result<Value> partition(Interpreter& in, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("partition()", given, {{"sep"}}));
  TRY_ASSIGN(const Text separator, string_of("partition()", values[0]));
  if (separator.empty()) return template_error("partition() by nothing");
  if (from_right) TRY(in.charge(strip_steps(self.text(), separator)));
  const Text& text = self.text();
  const size_t found = from_right ? text.bytes().rfind(separator.bytes()) : find_part(text.bytes(), separator.bytes());
  if (found == std::string::npos)
    return list_of(from_right ? std::vector<Text>{Text(), Text(), text} : std::vector<Text>{text, Text(), Text()},
                   List::Kind::kTuple);
  const size_t end = found + separator.size();
  return list_of({text.part(0, found), text.part(found, end), text.part(end, text.size())}, List::Kind::kTuple);
}

Result<Value> str_replace(Interpreter& in, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("replace()", given, {{"old"}, {"new"}, {"count", Value(-1)}}));
  TRY_ASSIGN(const Text old, string_of("replace()", values[0]));
  TRY_ASSIGN(const Text with, string_of("replace()", values[1]));
  TRY_ASSIGN(const int64_t limit, whole_number("replace()", values[2]));
  const int64_t places = count_of(self.bytes(), old.bytes());
  TRY(in.charge(places));
  TRY(in.charge_bytes(int64_t(self.text().size()) +
                      std::min(places, limit < 0 ? places : limit) * int64_t(with.size())));
  return Value(replaced(self.text(), old.bytes(), with, limit));
}

// The part of a text between two positions in characters, as Python takes them: of str.find(x, begin, end).
struct Range {
  size_t begin, end;      // bytes
  int64_t before;         // characters before it
  bool is_empty = false;  // begin lies behind end
};
Result<Range> range_of(const Value& self, const Value& begin, const Value& end) {
  const std::vector<size_t> begins = character_begins(self.bytes());
  const int64_t n = int64_t(begins.size()) - 1;
  int64_t from = 0, to = n;
  if (!begin.is_none()) {
    TRY_ASSIGN(from, whole_number("a position", begin));
  }
  if (!end.is_none()) {
    TRY_ASSIGN(to, whole_number("a position", end));
  }
  if (from < 0) from = std::max<int64_t>(from + n, 0);
  to = to < 0 ? std::max<int64_t>(to + n, 0) : std::min(to, n);
  if (from > n || from > to) return Range{0, 0, 0, true};
  return Range{begins[size_t(from)], begins[size_t(to)], from};
}

template <bool from_right, bool must_be_there>
Result<Value> find(Interpreter& in, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("find()", given, {{"sub"}, {"start", Value(None{})}, {"end", Value(None{})}}));
  TRY_ASSIGN(const Text part, string_of("find()", values[0]));
  if (from_right) TRY(in.charge(strip_steps(self.text(), part)));
  TRY_ASSIGN(const Range range, range_of(self, values[1], values[2]));
  const std::string_view within = std::string_view(self.bytes()).substr(range.begin, range.end - range.begin);
  const size_t found = range.is_empty ? within.npos
                       : from_right   ? within.rfind(part.bytes())
                                      : find_part(within, part.bytes());
  if (found != within.npos) return Value(range.before + int64_t(count_characters(within.substr(0, found))));
  if (must_be_there) return template_error("index(): the string is not there");
  return Value(-1);
}

Result<Value> count(Interpreter&, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("count()", given, {{"sub"}, {"start", Value(None{})}, {"end", Value(None{})}}));
  TRY_ASSIGN(const Text part, string_of("count()", values[0]));
  TRY_ASSIGN(const Range range, range_of(self, values[1], values[2]));
  if (range.is_empty) return Value(0);
  return Value(count_of(std::string_view(self.bytes()).substr(range.begin, range.end - range.begin), part.bytes()));
}

template <bool at_end>
Result<Value> has_affix(Interpreter&, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values,
             bind("startswith()", given, {{"prefix"}, {"start", Value(None{})}, {"end", Value(None{})}}));
  TRY_ASSIGN(const Range range, range_of(self, values[1], values[2]));
  const std::string_view within = std::string_view(self.bytes()).substr(range.begin, range.end - range.begin);
  std::vector<Value> affixes = {values[0]};
  if (values[0].is_list() && values[0].list().kind == List::Kind::kTuple) affixes = values[0].list().items;
  for (const Value& affix : affixes) {
    TRY_ASSIGN(const Text text, string_of(at_end ? "endswith()" : "startswith()", affix));
    if (!range.is_empty && (at_end ? within.ends_with(text.bytes()) : within.starts_with(text.bytes())))
      return Value(true);
  }
  return Value(false);
}

template <bool at_end>
Result<Value> remove_affix(Interpreter&, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("removeprefix()", given, {{"prefix"}}));
  TRY_ASSIGN(const Text affix, string_of("removeprefix()", values[0]));
  const Text& text = self.text();
  if (affix.empty()) return self;
  if (at_end) return text.bytes().ends_with(affix.bytes()) ? Value(text.part(0, text.size() - affix.size())) : self;
  return text.bytes().starts_with(affix.bytes()) ? Value(text.part(affix.size(), text.size())) : self;
}

Result<Value> str_join(Interpreter& in, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("join()", given, {{"iterable"}}));
  if (values[0].is_undefined()) return Value("");
  TRY_ASSIGN(const std::vector<Value> items, in.items_of(values[0]));
  std::vector<Text> parts;
  for (const Value& item : items) {
    TRY_ASSIGN(Text part, string_of("join()", item));
    TRY(in.charge_bytes(int64_t(part.size() + self.text().size())));
    parts.push_back(std::move(part));
  }
  return Value(joined(parts, self.text()));
}

template <int before_of_two>  // 0: all behind, 1: half, 2: all before
Result<Value> justify(Interpreter& in, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("ljust()", given, {{"width"}, {"fillchar", Value(" ")}}));
  TRY_ASSIGN(const int64_t width, whole_number("ljust()", values[0]));
  TRY_ASSIGN(const Text fill, string_of("ljust()", values[1]));
  if (count_characters(fill.bytes()) != 1) return template_error("ljust() fills with one character");
  const int64_t missing = std::max<int64_t>(width, 0) - int64_t(count_characters(self.bytes()));
  if (missing <= 0) return self;
  TRY(in.charge_bytes(missing));
  // Where both sides cannot get the same, Python gives the left one more if the width is odd.
  const int64_t before = before_of_two == 1 ? missing / 2 + (missing & width & 1) : missing * before_of_two / 2;
  Text text;
  for (int64_t i = 0; i < before; ++i) text.append(fill);
  text.append(self.text());
  for (int64_t i = before; i < missing; ++i) text.append(fill);
  return Value(std::move(text));
}

Result<Value> zfill(Interpreter& in, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("zfill()", given, {{"width"}}));
  TRY_ASSIGN(const int64_t width, whole_number("zfill()", values[0]));
  const int64_t missing = std::max<int64_t>(width, 0) - int64_t(count_characters(self.bytes()));
  if (missing <= 0) return self;
  TRY(in.charge_bytes(missing));
  const size_t sign = self.bytes().starts_with('-') || self.bytes().starts_with('+') ? 1 : 0;
  Text text = self.text().part(0, sign);
  text.append(std::string_view(std::string(size_t(missing), '0')));
  text.append(self.text(), sign, self.text().size());
  return Value(std::move(text));
}

Result<Value> expandtabs(Interpreter& in, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("expandtabs()", given, {{"tabsize", Value(8)}}));
  TRY_ASSIGN(const int64_t size, whole_number("expandtabs()", values[0]));
  if (size > 1000) return template_error("expandtabs() by more than 1000");
  Text text;
  int64_t column = 0;
  for (size_t pos = 0; pos < self.text().size();) {
    const Character c = character_at(self.bytes(), pos);
    if (c.code_point == '\t') {
      const int64_t n = size > 0 ? size - column % size : 0;
      TRY(in.charge_bytes(n));
      text.append_made_from(std::string(size_t(n), ' '), self.text(), c.begin, c.end);
      column += n;
    } else {
      text.append(self.text(), c.begin, c.end);
      column = c.code_point == '\n' || c.code_point == '\r' ? 0 : column + 1;
    }
    pos = c.end;
  }
  return Value(std::move(text));
}

template <bool (*holds)(int32_t)>
Result<Value> all_are(Interpreter&, const Value& self, const Arguments&) {
  for (size_t pos = 0; pos < self.text().size();) {
    const Character c = character_at(self.bytes(), pos);
    if (!holds(c.code_point)) return Value(false);
    pos = c.end;
  }
  return Value(!self.text().empty());
}
bool is_alphanumeric(int32_t c) { return is_alpha(c) || is_numeric(c); }

// islower(), isupper(): no character of the other case, and one at least of this.
template <bool (*wanted)(int32_t), bool (*other)(int32_t)>
Result<Value> all_cased(Interpreter&, const Value& self, const Arguments&) {
  bool any = false;
  for (size_t pos = 0; pos < self.text().size();) {
    const Character c = character_at(self.bytes(), pos);
    if (other(c.code_point) || is_title(c.code_point)) return Value(false);
    any = any || wanted(c.code_point);
    pos = c.end;
  }
  return Value(any);
}

Result<Value> istitle(Interpreter&, const Value& self, const Arguments&) {
  bool in_word = false, any = false;
  for (size_t pos = 0; pos < self.text().size();) {
    const int32_t c = character_at(self.bytes(), pos).code_point;
    const bool large = is_upper(c) || is_title(c);
    if ((large && in_word) || (is_lower(c) && !in_word)) return Value(false);
    in_word = large || is_lower(c);
    any = any || in_word;
    pos = character_at(self.bytes(), pos).end;
  }
  return Value(any);
}

Result<Value> isascii(Interpreter&, const Value& self, const Arguments&) {
  return Value(std::all_of(self.bytes().begin(), self.bytes().end(),
                           [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
}

Result<Value> str_format(Interpreter& in, const Value& self, const Arguments& given) {
  TRY_ASSIGN(Text text, formatted_by_braces(in, self.text(), given));
  return Value(std::move(text));
}

Result<Value> format_map(Interpreter& in, const Value& self, const Arguments& given) {
  TRY_ASSIGN(const auto values, bind("format_map()", given, {{"mapping"}}));
  if (!values[0].is_dict()) return template_error("format_map() needs a dictionary, not a " + values[0].type_name());
  Arguments named;
  for (const auto& [key, value] : values[0].dict()->items)
    if (key.is_text()) named.named.emplace_back(key.bytes(), value);
  return str_format(in, self, named);
}

constexpr NamedMethod kTextMethods[] = {
    {"capitalize", str_capitalize},
    {"casefold", in_one_case<Case::kFolded>},
    {"center", justify<1>},
    {"count", count},
    {"endswith", has_affix<true>},
    {"expandtabs", expandtabs},
    {"find", find<false, false>},
    {"format", str_format},
    {"format_map", format_map},
    {"index", find<false, true>},
    {"isalnum", all_are<is_alphanumeric>},
    {"isalpha", all_are<is_alpha>},
    {"isascii", isascii},
    {"isdecimal", all_are<is_decimal>},
    {"isdigit", all_are<is_digit>},
    {"islower", all_cased<is_lower, is_upper>},
    {"isnumeric", all_are<is_numeric>},
    {"isspace", all_are<is_space>},
    {"istitle", istitle},
    {"isupper", all_cased<is_upper, is_lower>},
    {"join", str_join},
    {"ljust", justify<0>},
    {"lower", in_one_case<Case::kLower>},
    {"lstrip", strip<Side::kLeft>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", str_replace},
    {"rfind", find<true, false>},
    {"rindex", find<true, true>},
    {"rjust", justify<2>},
    {"rpartition", partition<true>},
    {"rsplit", split<true>},
    {"rstrip", strip<Side::kRight>},
    {"split", split<false>},
    {"splitlines", splitlines},
    {"startswith", has_affix<false>},
    {"strip", strip<Side::kBoth>},
    {"swapcase", swapcase},
    {"title", str_title},
    {"upper", in_one_case<Case::kUpper>},
    {"zfill", zfill},
};

}  // namespace

std::span<const NamedMethod> text_methods() { return kTextMethods; }

}  // namespace reform::jinja
