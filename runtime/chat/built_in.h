// Templates that a user may name where a model's file has none, or a wrong one: plain forms of families that many
// models were taught.
#pragma once

#include <span>
#include <string_view>

namespace reform {

struct BuiltInTemplate {
  std::string_view name, source;
};
std::span<const BuiltInTemplate> built_in_templates();

}  // namespace reform
