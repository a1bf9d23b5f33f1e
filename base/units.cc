#include <fmt/format.h>
#include <reform/units.h>

#include <cmath>

namespace reform {
namespace {

std::string format(int64_t bytes, bool up) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < kKiB) return fmt::format("{} B", bytes);
  double value = double(bytes);
  int unit = -1;
  while (value >= (up ? 1023.9 : 1023.95) && unit < 3) value /= double(kKiB), ++unit;
  const int digits = unit < 2 ? 1 : 2;
  const double steps = unit < 2 ? 10 : 100;
  return fmt::format("{:.{}f} {}", up ? std::ceil(value * steps) / steps : value, digits, kUnits[unit]);
}

}  // namespace

std::string format_bytes(int64_t bytes) { return format(bytes, false); }
std::string format_bytes_up(int64_t bytes) { return format(bytes, true); }

std::string format_count(int64_t count) {
  std::string text = std::to_string(count);
  const int64_t first = count < 0 ? 1 : 0;
  for (int64_t i = int64_t(text.size()) - 3; i > first; i -= 3) text.insert(size_t(i), ",");
  return text;
}

}  // namespace reform
