#include <fmt/format.h>
#include <reform/units.h>

namespace reform {

std::string format_bytes(int64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < kKiB) return fmt::format("{} B", bytes);
  double value = double(bytes);
  int unit = -1;
  while (value >= 1023.95 && unit < 3) value /= double(kKiB), ++unit;
  return unit < 2 ? fmt::format("{:.1f} {}", value, kUnits[unit]) : fmt::format("{:.2f} {}", value, kUnits[unit]);
}

std::string format_count(int64_t count) {
  std::string text = std::to_string(count);
  const int64_t first = count < 0 ? 1 : 0;
  for (int64_t i = int64_t(text.size()) - 3; i > first; i -= 3) text.insert(size_t(i), ",");
  return text;
}

}  // namespace reform
