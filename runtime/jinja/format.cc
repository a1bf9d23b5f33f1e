// Python's two ways to format: `'%s' % x` and `'{}'.format(x)`.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/try.h"
#include "runtime/jinja/bind.h"
#include "runtime/jinja/interpreter.h"
#include "runtime/jinja/operations.h"

namespace reform::jinja {
namespace {

constexpr int64_t kMaxWidth = 10'000;

// How a value is to be written. conversion 0: by the value's kind.
struct Spec {
  char align = 0;  // < > ^ =; 0: numbers to the right, all else to the left
  std::string fill = " ";
  bool plus = false, space = false, alternative = false, thousands = false;
  int64_t width = 0, precision = -1;
  char conversion = 0;
};

// Digits at text[pos]: moves pos behind them. -1: none.
int64_t digits(const std::string& text, size_t& pos) {
  int64_t value = -1;
  for (; pos < text.size() && text[pos] >= '0' && text[pos] <= '9'; ++pos)
    value = std::min(std::max<int64_t>(value, 0) * 10 + (text[pos] - '0'), kMaxWidth + 1);
  return value;
}

std::string with_thousands(std::string number) {
  const size_t begin = number.starts_with('-') ? 1 : 0;
  const size_t end = std::min(number.find_first_of(".e"), number.size());
  for (size_t i = end; i > begin + 3; i -= 3) number.insert(i - 3, ",");
  return number;
}

Text padded(const Text& text, const Spec& spec, bool is_number) {
  const int64_t missing = spec.width - int64_t(count_characters(text.bytes()));
  if (missing <= 0) return text;
  const char align = spec.align ? spec.align : is_number ? '>' : '<';
  const int64_t before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  const size_t sign = align == '=' && text.bytes().find_first_of("+-") == 0 ? 1 : 0;
  Text result = text.part(0, sign);
  for (int64_t i = 0; i < before; ++i) result.append(spec.fill);
  result.append(text, sign, text.size());
  for (int64_t i = before; i < missing; ++i) result.append(spec.fill);
  return result;
}

Result<std::string> whole_text(int64_t value, const Spec& spec) {
  const uint64_t magnitude = value < 0 ? 0 - uint64_t(value) : uint64_t(value);
  const std::string sign = value < 0 ? "-" : spec.plus ? "+" : spec.space ? " " : "";
  switch (spec.conversion) {
    case 'x':
      return sign + (spec.alternative ? "0x" : "") + fmt::format("{:x}", magnitude);
    case 'X':
      return sign + (spec.alternative ? "0X" : "") + fmt::format("{:X}", magnitude);
    case 'o':
      return sign + (spec.alternative ? "0o" : "") + fmt::format("{:o}", magnitude);
    case 'b':
      return sign + (spec.alternative ? "0b" : "") + fmt::format("{:b}", magnitude);
    case 'c':
      return encode_character(int32_t(std::min<uint64_t>(magnitude, 0x110000)));
    default: {
      std::string number = std::to_string(magnitude);
      if (spec.precision > int64_t(number.size())) number.insert(0, size_t(spec.precision) - number.size(), '0');
      return sign + (spec.thousands ? with_thousands(number) : number);
    }
  }
}

Result<std::string> float_text(double value, const Spec& spec) {
  const int precision = spec.precision < 0 ? 6 : int(std::min<int64_t>(spec.precision, 400));
  const std::string sign = std::signbit(value) ? "-" : spec.plus ? "+" : spec.space ? " " : "";
  const double magnitude = std::abs(value);
  std::string number;
  switch (spec.conversion) {
    case 'e':
      number = fmt::format("{:.{}e}", magnitude, precision);
      break;
    case 'E':
      number = fmt::format("{:.{}E}", magnitude, precision);
      break;
    case 'g':
    case 'G':
      number = spec.conversion == 'G' ? fmt::format("{:.{}G}", magnitude, std::max(precision, 1))
                                      : fmt::format("{:.{}g}", magnitude, std::max(precision, 1));
      break;
    case '%':
      number = fmt::format("{:.{}f}%", magnitude * 100, precision);
      break;
    case 0:
      number = spec.precision < 0 ? float_repr(magnitude) : fmt::format("{:.{}g}", magnitude, std::max(precision, 1));
      break;
    default:
      number = fmt::format("{:.{}f}", magnitude, precision);
      break;
  }
  return sign + (spec.thousands ? with_thousands(number) : number);
}

// A number as the conversion wants it.
Result<Text> number_text(const Value& value, const Spec& spec) {
  const bool as_float =
      std::string_view("eEfFgG%").find(spec.conversion) != std::string_view::npos && spec.conversion != 0;
  if (as_float || (spec.conversion == 0 && value.is_double())) {
    TRY_ASSIGN(std::string text, float_text(value.number(), spec));
    return Text(std::move(text));
  }
  if (value.is_double()) {
    if (std::abs(value.number()) >= 9e18) return template_error("a number does not fit into 64 bits");
    TRY_ASSIGN(std::string text, whole_text(int64_t(value.number()), spec));
    return Text(std::move(text));
  }
  TRY_ASSIGN(std::string text, whole_text(value.whole(), spec));
  return Text(std::move(text));
}

Text cut(const Text& text, int64_t precision) {
  if (precision < 0) return text;
  size_t end = 0;
  for (int64_t i = 0; i < precision && end < text.size(); ++i) end = character_at(text.bytes(), end).end;
  return text.part(0, end);
}

// The values of `format % values`, taken one by one.
class PercentFormat {
 public:
  PercentFormat(Interpreter& interpreter, const Text& format, const Value& values)
      : interpreter_(interpreter),
        format_(format),
        bytes_(format.bytes()),
        values_(values),
        is_tuple_(values.is_list() && values.list().kind == List::Kind::kTuple) {}

  Result<Text> run() {
    Text result;
    for (size_t pos = 0; pos < bytes_.size();) {
      const size_t percent = std::min(bytes_.find('%', pos), bytes_.size());
      result.append(format_, pos, percent);
      pos = percent;
      if (pos == bytes_.size()) break;
      TRY_ASSIGN(const Text text, one(pos));
      TRY(interpreter_.charge_bytes(int64_t(text.size())));
      result.append(text);
    }
    if (is_tuple_ ? next_ < values_.list().items.size() : next_ == 0 && !values_.is_dict() && !values_.is_list())
      return template_error("not all values were used by the format");
    return result;
  }

 private:
  Result<Value> next_value() {
    if (is_tuple_ && next_ < values_.list().items.size()) return values_.list().items[next_++];
    if (is_tuple_ || next_ > 0) return template_error("the format needs more values");
    ++next_;
    return values_;
  }

  Result<int64_t> width(size_t& pos) {
    if (pos >= bytes_.size() || bytes_[pos] != '*') return std::max<int64_t>(digits(bytes_, pos), 0);
    ++pos;
    TRY_ASSIGN(const Value value, next_value());
    return whole_number("a format's *", value);
  }

  // The conversion at `pos`, a '%', which moves behind it.
  Result<Text> one(size_t& pos) {
    Spec spec;
    Value value;
    bool has_value = false;
    if (++pos < bytes_.size() && bytes_[pos] == '(') {
      const size_t end = bytes_.find(')', pos);
      if (end == bytes_.npos || !values_.is_dict()) return template_error("the format's %(name) needs a dictionary");
      const Value* found = values_.dict()->find_name(std::string_view(bytes_).substr(pos + 1, end - pos - 1));
      if (!found) return template_error("the format's name is not in the dictionary");
      value = *found, has_value = true, ++next_;
      pos = end + 1;
    }
    for (; pos < bytes_.size() && std::string_view("-+ #0").find(bytes_[pos]) != std::string_view::npos; ++pos) {
      if (bytes_[pos] == '-') spec.align = '<';
      if (bytes_[pos] == '+') spec.plus = true;
      if (bytes_[pos] == ' ') spec.space = true;
      if (bytes_[pos] == '#') spec.alternative = true;
      if (bytes_[pos] == '0' && spec.align != '<') spec.align = '=', spec.fill = "0";
    }
    TRY_ASSIGN(spec.width, width(pos));
    if (pos < bytes_.size() && bytes_[pos] == '.') {
      ++pos;
      TRY_ASSIGN(spec.precision, width(pos));
    }
    if (pos >= bytes_.size()) return template_error("the format ends within a %");
    spec.conversion = bytes_[pos++];
    if (spec.conversion == '%') return Text("%");
    if (!has_value) {
      TRY_ASSIGN(value, next_value());
    }
    if (spec.width > kMaxWidth || spec.precision > kMaxWidth) return template_error("a format's width is too large");
    return converted(value, spec);
  }

  Result<Text> converted(const Value& value, Spec spec) {
    if (spec.conversion == 's' || spec.conversion == 'r' || spec.conversion == 'a') {
      TRY_ASSIGN(const Text text, spec.conversion == 's' ? to_text(value) : to_repr(value));
      if (spec.fill == "0") spec.fill = " ", spec.align = '>';
      if (!spec.align) spec.align = '>';
      return padded(cut(text, spec.precision), spec, false);
    }
    if (std::string_view("diuxXoeEfFgGc").find(spec.conversion) == std::string_view::npos)
      return template_error(std::string("the format has an unknown conversion %") + spec.conversion);
    if (value.is_text() && spec.conversion == 'c') return padded(value.text(), spec, true);
    if (value.is_undefined()) return template_error(value.undefined_what());
    if (!value.is_number())
      return template_error(std::string("%") + spec.conversion + " needs a number, not a " + value.type_name());
    if (spec.conversion == 'i' || spec.conversion == 'u') spec.conversion = 'd';
    TRY_ASSIGN(const Text text, number_text(value, spec));
    return padded(text, spec, true);
  }

  Interpreter& interpreter_;
  const Text& format_;
  const std::string& bytes_;
  const Value& values_;
  const bool is_tuple_;
  size_t next_ = 0;
};

// "[[fill]align][sign][#][0][width][,][.precision][type]"
Result<Spec> parse_spec(const std::string& text) {
  Spec spec;
  size_t pos = 0;
  const auto is_align = [&](size_t at) {
    return at < text.size() && std::string_view("<>^=").find(text[at]) != std::string_view::npos;
  };
  if (!text.empty()) {
    const size_t first_end = character_at(text, 0).end;
    if (is_align(first_end)) {
      spec.fill = text.substr(0, first_end);
      spec.align = text[first_end];
      pos = first_end + 1;
    } else if (is_align(0)) {
      spec.align = text[0];
      pos = 1;
    }
  }
  if (pos < text.size() && std::string_view("+- ").find(text[pos]) != std::string_view::npos) {
    spec.plus = text[pos] == '+', spec.space = text[pos] == ' ';
    ++pos;
  }
  if (pos < text.size() && text[pos] == '#') spec.alternative = true, ++pos;
  if (pos < text.size() && text[pos] == '0' && !spec.align) spec.align = '=', spec.fill = "0", ++pos;
  spec.width = std::max<int64_t>(digits(text, pos), 0);
  if (pos < text.size() && text[pos] == ',') spec.thousands = true, ++pos;
  if (pos < text.size() && text[pos] == '.') {
    spec.precision = digits(text, ++pos);
    if (spec.precision < 0) return template_error("a format has no precision after its point");
  }
  if (pos < text.size()) spec.conversion = text[pos++];
  if (pos < text.size() || spec.width > kMaxWidth || spec.precision > kMaxWidth)
    return template_error("a format that reform does not know: '" + text + "'");
  return spec;
}

Result<Text> with_spec(const Value& value, const std::string& spec_text) {
  TRY_ASSIGN(const Spec spec, parse_spec(spec_text));
  if (value.is_number() && spec.conversion != 's' && !(value.is_bool() && spec_text.empty())) {
    if (spec.conversion && std::string_view("bcdeEfFgGnoxX%").find(spec.conversion) == std::string_view::npos)
      return template_error(std::string("a number has no format '") + spec.conversion + "'");
    if (value.is_double() && spec.conversion &&
        std::string_view("eEfFgGn%").find(spec.conversion) == std::string_view::npos)
      return template_error(std::string("a float has no format '") + spec.conversion + "'");
    TRY_ASSIGN(const Text text, number_text(value, spec));
    return padded(text, spec, true);
  }
  if (spec.conversion && spec.conversion != 's')
    return template_error("a " + value.type_name() + " has no format '" + std::string(1, spec.conversion) + "'");
  if (!spec_text.empty() && !value.is_text())
    return template_error("a " + value.type_name() + " has no format '" + spec_text + "'");
  TRY_ASSIGN(const Text text, to_text(value));
  return padded(cut(text, spec.precision), spec, false);
}

// What "{field!conversion:spec}" names; `automatic` counts the fields without a name.
Result<Value> field_value(std::string field, const Arguments& given, size_t& automatic) {
  const size_t name_end = std::min(field.find_first_of(".["), field.size());
  const std::string name = field.substr(0, name_end);
  Value value;
  size_t index = automatic, end = 0;
  const int64_t number = digits(name, end);
  if (name.empty() || (number >= 0 && end == name.size())) {
    if (name.empty())
      ++automatic;
    else
      index = size_t(number);
    if (index >= given.positional.size()) return template_error("the format needs more values");
    value = given.positional[index];
  } else {
    const auto found =
        std::find_if(given.named.begin(), given.named.end(), [&](const auto& item) { return item.first == name; });
    if (found == given.named.end()) return template_error("the format has no value '" + name + "'");
    value = found->second;
  }
  for (size_t pos = name_end; pos < field.size();) {
    const bool is_item = field[pos] == '[';
    const size_t part_end = is_item ? field.find(']', pos) : std::min(field.find_first_of(".[", pos + 1), field.size());
    if (part_end == field.npos) return template_error("the format's [ has no ]");
    const std::string part = field.substr(pos + 1, part_end - pos - 1);
    size_t digits_end = 0;
    const int64_t item = digits(part, digits_end);
    const bool is_index = is_item && item >= 0 && digits_end == part.size();
    TRY_ASSIGN(value, is_index  ? item_of(value, Value(item))
                      : is_item ? item_of(value, Value(part))
                                : attribute_of(value, part));
    pos = part_end + (is_item ? 1 : 0);
  }
  return value;
}

}  // namespace

Result<Text> formatted(Interpreter& interpreter, const Text& format, const Value& values) {
  return PercentFormat(interpreter, format, values).run();
}

Result<Text> formatted_by_braces(Interpreter& interpreter, const Text& format, const Arguments& given) {
  const std::string& bytes = format.bytes();
  Text result;
  size_t automatic = 0;
  for (size_t pos = 0; pos < bytes.size();) {
    const size_t brace = std::min(bytes.find_first_of("{}", pos), bytes.size());
    result.append(format, pos, brace);
    if (brace == bytes.size()) break;
    if (brace + 1 < bytes.size() && bytes[brace + 1] == bytes[brace]) {
      result.append(format, brace, brace + 1);
      pos = brace + 2;
      continue;
    }
    const size_t end = bytes.find('}', brace);
    if (bytes[brace] == '}' || end == bytes.npos) return template_error("the format has a single brace");
    std::string field = bytes.substr(brace + 1, end - brace - 1), spec, conversion;
    if (field.find('{') != field.npos) return template_error("a format inside a format is not supported");
    if (const size_t colon = field.find(':'); colon != field.npos) spec = field.substr(colon + 1), field.resize(colon);
    if (const size_t mark = field.find('!'); mark != field.npos)
      conversion = field.substr(mark + 1), field.resize(mark);
    TRY_ASSIGN(Value value, field_value(field, given, automatic));
    if (conversion == "r" || conversion == "s") {
      TRY_ASSIGN(Text text, conversion == "r" ? to_repr(value) : to_text(value));
      value = Value(std::move(text));
    } else if (!conversion.empty()) {
      return template_error("a format that reform does not know: '!" + conversion + "'");
    }
    TRY_ASSIGN(const Text text, with_spec(value, spec));
    TRY(interpreter.charge_bytes(int64_t(text.size())));
    // What a format fills with is the format's; where that is a content's, all of the field counts as the content's.
    Text of_format;
    of_format.append_made_from(text.bytes(), format, brace, end + 1);
    result.append(spec.empty() || of_format.origins().empty() ? text : of_format);
    pos = end + 1;
  }
  return result;
}

}  // namespace reform::jinja
