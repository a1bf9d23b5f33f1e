#include "storage/format/context_name.h"

#include <utf8cpp/utf8.h>

#include <algorithm>

namespace reform {

Status check_context_name(const std::string& name) {
  if (name.empty() || name.size() > 128) {
    return {Code::kUsage, "a context's name has 1 to 128 bytes, this one has " + std::to_string(name.size())};
  }
  if (!utf8::is_valid(name.begin(), name.end())) return {Code::kUsage, "a context's name must be valid UTF-8"};
  if (std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    return {Code::kUsage, "a context's name must not contain control characters"};
  }
  return {};
}

}  // namespace reform
