// Parses JSON that may be hostile. nlohmann-json parses without recursion, but copies, compares and writes recursively,
// so deep nesting would overflow the stack there.
#pragma once

#include <cstdint>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace reform {

// What we write nests only a few levels.
constexpr int kMaxJsonDepth = 64;

// Returns a discarded value (is_discarded()) if `text` is not JSON or nests deeper than kMaxJsonDepth.
inline nlohmann::json parse_json(std::string_view text) {
  bool too_deep = false;
  const auto watch = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    too_deep = too_deep || depth > kMaxJsonDepth;
    return !too_deep;
  };
  auto value = nlohmann::json::parse(text, watch, /*allow_exceptions=*/false);
  return too_deep ? nlohmann::json(nlohmann::json::value_t::discarded) : value;
}

// An integer. Throws the library's exception on any other kind. Its own accessor would convert 1e300, which is
// undefined, and cut 3.5.
inline int64_t parse_integer(const nlohmann::json& value) {
  if (!value.is_number_integer()) throw nlohmann::json::other_error::create(500, "expected an integer", nullptr);
  return value.get<int64_t>();
}

// The message of an exception, without the name that the library puts before its own: "[json.exception.type_error.302]
// ".
inline std::string what_is_wrong(const std::exception& e) {
  const std::string text = e.what();
  return text.starts_with("[json.exception.") ? text.substr(text.find(']') + 2) : text;
}

}  // namespace reform
