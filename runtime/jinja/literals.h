// Numbers and strings as a template spells them: as Python does.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace reform::jinja {

// Where the number that begins at text[pos] ends; pos itself if none does. after_dot: an item's number, as in
// `pair.0.1`.
struct NumberEnd {
  size_t pos;
  bool is_float;
};
NumberEnd number_end(std::string_view text, size_t pos, bool after_dot = false);

// "0x1F", "0b1", "0o7", "12": without underscores. An error past 64 bits.
Result<int64_t> integer_value(std::string_view digits);

// The value of a string's body: \n, \x41, \u00e9, \101; what is no escape stays as it is.
Result<std::string> unescape(std::string_view body);

}  // namespace reform::jinja
