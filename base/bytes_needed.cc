#include "base/bytes_needed.h"

#include <reform/units.h>

namespace reform {

// format_bytes() shows one digit after the point below a GiB, and two from there on.
std::string format_bytes_up(int64_t bytes) {
  int64_t unit = 1;
  while (unit < 1024 * kGiB && bytes >= unit * 1024) unit *= 1024;
  if (unit == 1) return format_bytes(bytes);
  const int64_t steps = unit < kGiB ? 10 : 100;
  return format_bytes(bytes + unit / steps / 2);  // half of the last digit
}

}  // namespace reform
