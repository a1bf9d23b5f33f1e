#include <nlohmann/json.hpp>

#include "runtime/compress/heads.h"

namespace reform {
namespace {

// The texts of heads/*.json, which CMake puts into this file. The null ends the list.
constexpr const char* kShipped[] = {
#include "shipped_heads_data.inc"
    nullptr};

}  // namespace

std::string shipped_heads_json(const std::string& fingerprint) {
  for (const char* const* text = kShipped; *text != nullptr; ++text) {
    const auto root = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
    if (root.is_object() && root.value("fingerprint", "") == fingerprint) return *text;
  }
  return "";
}

}  // namespace reform
