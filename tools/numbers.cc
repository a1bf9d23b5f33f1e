#include "tools/numbers.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string>
#include <system_error>

namespace reform::tool {
namespace {

std::string shown(Range<int64_t> range) { return fmt::format("a whole number from {} to {}", range.least, range.most); }
std::string shown(Range<double> range) { return fmt::format("a number from {} to {}", range.least, range.most); }

template <class Number>
Result<Number> parse(std::string_view word, Range<Number> range) {
  Number number{};
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, number);
  const bool is_negative_zero = number == 0 && word.starts_with('-');
  if (error == std::errc() && stop == end && range.holds(number) && !is_negative_zero) return number;
  return Status{Code::kUsage, fmt::format("is '{}'; expected {}", word, shown(range))};
}

// "--threads" of "-t,--threads".
std::string long_name(const std::string& names) {
  const std::string name = names.substr(names.find("--"));
  return name.substr(0, name.find(','));
}

// `automatic`: what `auto` stands for; null: the option has no such value.
template <class Number, class Value>
CLI::Option* add(CLI::App& verb, const std::string& names, Value& value, Range<Number> range, const std::string& help,
                 std::optional<Value> automatic = {}) {
  const auto set = [name = long_name(names), range, automatic, &value](const std::string& word) {
    if (automatic && word == "auto") {
      value = *automatic;
      return;
    }
    const Result<Number> number = parse_number(word, range);
    if (!number.ok()) throw CLI::ValidationError(name, number.status().message);
    value = Value(number.value());
  };
  return verb.add_option_function<std::string>(names, set, help)->type_name("N");
}

}  // namespace

Result<int64_t> parse_number(std::string_view word, Range<int64_t> range) { return parse(word, range); }
Result<double> parse_number(std::string_view word, Range<double> range) { return parse(word, range); }

CLI::Option* add_number(CLI::App& verb, const std::string& names, int64_t& value, Range<int64_t> range,
                        const std::string& help) {
  return add(verb, names, value, range, help);
}
CLI::Option* add_number(CLI::App& verb, const std::string& names, uint64_t& value, Range<int64_t> range,
                        const std::string& help) {
  return add(verb, names, value, range, help);
}
CLI::Option* add_number(CLI::App& verb, const std::string& names, int& value, Range<int64_t> range,
                        const std::string& help) {
  return add(verb, names, value, range, help);
}
CLI::Option* add_number(CLI::App& verb, const std::string& names, double& value, Range<double> range,
                        const std::string& help) {
  return add(verb, names, value, range, help);
}
CLI::Option* add_number(CLI::App& verb, const std::string& names, std::optional<int64_t>& value, Range<int64_t> range,
                        const std::string& help) {
  return add(verb, names, value, range, help);
}

CLI::Option* add_number_or_auto(CLI::App& verb, const std::string& names, int64_t& value, int64_t automatic,
                                Range<int64_t> range, const std::string& help) {
  const std::string shown_default = value == automatic ? "auto" : std::to_string(value);
  return add(verb, names, value, range, help, std::optional(automatic))->default_str(shown_default);
}

}  // namespace reform::tool
