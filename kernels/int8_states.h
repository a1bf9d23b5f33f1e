// A head's state as INT8 values with one scale, its length kept: value = scale * q, |q| <= 127. On the host's memory.
#pragma once

#include <cstdint>
#include <span>

namespace reform {

// Writes q [x.size()] and returns the scale, max|x| / 127. A state that is zero or has a value that is not finite gives
// zeros and scale 0.
float quantise_state(std::span<const float> x, int8_t* q);
// Writes x [x.size()].
void dequantise_state(const int8_t* q, float scale, std::span<float> x);

}  // namespace reform
