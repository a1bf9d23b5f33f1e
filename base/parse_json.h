// JSON that may be hostile. The library parses without recursion, but copies, compares and writes with it.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace reform {

// What we write nests a handful of times.
constexpr int kMaxJsonDepth = 64;

// A discarded value (is_discarded()) unless `text` is JSON that nests no deeper than that.
inline nlohmann::json parse_json(std::string_view text) {
  bool too_deep = false;
  const auto watch = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    too_deep = too_deep || depth > kMaxJsonDepth;
    return !too_deep;
  };
  auto value = nlohmann::json::parse(text, watch, /*allow_exceptions=*/false);
  return too_deep ? nlohmann::json(nlohmann::json::value_t::discarded) : value;
}

}  // namespace reform
