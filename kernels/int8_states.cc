#include "kernels/int8_states.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace reform {

float quantise_state(std::span<const float> x, int8_t* q) {
  float largest = 0;
  bool finite = true;
  for (const float value : x) {
    largest = std::max(largest, std::abs(value));
    finite = finite && std::abs(value) <= std::numeric_limits<float>::max();
  }
  const float scale = largest / 127;
  if (!finite || !(scale > 0)) {
    std::fill_n(q, x.size(), int8_t{0});
    return 0;
  }
  // By a division, as the inverse of a tiny scale is infinite.
  for (size_t i = 0; i < x.size(); ++i) q[i] = int8_t(std::lrint(std::clamp(x[i] / scale, -127.0f, 127.0f)));
  return scale;
}

void dequantise_state(const int8_t* q, float scale, std::span<float> x) {
  for (size_t i = 0; i < x.size(); ++i) x[i] = scale * float(q[i]);
}

}  // namespace reform
