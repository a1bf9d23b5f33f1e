#include "base/units.h"

#include <fmt/format.h>

namespace reform {

std::string format_bytes(int64_t bytes) {
  if (bytes >= kGiB) return fmt::format("{:.2f} GiB", double(bytes) / kGiB);
  if (bytes >= kMiB) return fmt::format("{:.1f} MiB", double(bytes) / kMiB);
  if (bytes >= kKiB) return fmt::format("{:.1f} KiB", double(bytes) / kKiB);
  return fmt::format("{} B", bytes);
}

std::string format_count(int64_t count) {
  std::string digits = std::to_string(count < 0 ? -count : count);
  for (int64_t i = int64_t(digits.size()) - 3; i > 0; i -= 3) digits.insert(size_t(i), ",");
  return count < 0 ? "-" + digits : digits;
}

}  // namespace reform
