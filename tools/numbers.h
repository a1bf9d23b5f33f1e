// Options that take a number. All are read in one way: decimal, the whole word, within the option's range. Anything
// else is refused with the range, exit code 2.
#pragma once

#include <reform/ranges.h>
#include <reform/status.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace reform::tool {

Result<int64_t> parse_number(std::string_view word, Range<int64_t> range);
Result<double> parse_number(std::string_view word, Range<double> range);

// Sets `value` when the option is given.
CLI::Option* add_number(CLI::App& verb, const std::string& names, int64_t& value, Range<int64_t> range,
                        const std::string& help);
CLI::Option* add_number(CLI::App& verb, const std::string& names, uint64_t& value, Range<int64_t> range,
                        const std::string& help);
CLI::Option* add_number(CLI::App& verb, const std::string& names, int& value, Range<int64_t> range,
                        const std::string& help);
CLI::Option* add_number(CLI::App& verb, const std::string& names, double& value, Range<double> range,
                        const std::string& help);
CLI::Option* add_number(CLI::App& verb, const std::string& names, std::optional<int64_t>& value, Range<int64_t> range,
                        const std::string& help);
// Takes `auto` for the value `automatic`, and shows the default, `value`.
CLI::Option* add_number_or_auto(CLI::App& verb, const std::string& names, int64_t& value, int64_t automatic,
                                Range<int64_t> range, const std::string& help);

}  // namespace reform::tool
