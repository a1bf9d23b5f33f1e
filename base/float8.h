// Scalar conversions between float and e4m3, the FP8 format of matrix units (OCP 8-bit floating point, 1.0): 4 bits of
// exponent with bias 7, 3 of mantissa, subnormals, no infinities, largest 448. These are the definitions.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace reform {

inline constexpr float kLargestE4m3 = 448.0f;

inline float e4m3_to_f32(uint8_t code) {
  const uint32_t exponent = (code >> 3) & 15u, mantissa = code & 7u;
  if ((code & 127u) == 127u) return std::bit_cast<float>(0x7fc00000u | uint32_t(code & 128u) << 24);
  const float magnitude =
      exponent == 0 ? float(mantissa) * 0x1p-9f : std::bit_cast<float>((exponent + 120) << 23 | mantissa << 20);
  return (code & 128u) != 0 ? -magnitude : magnitude;
}

// Rounds to nearest, ties to even. Magnitudes above 448 become 448; NaN stays NaN.
inline uint8_t f32_to_e4m3(float f) {
  const uint32_t u = std::bit_cast<uint32_t>(f), sign = (u >> 24) & 128u, magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return uint8_t(sign | 127u);
  if (magnitude >= 0x43e00000u) return uint8_t(sign | 126u);  // 448
  if (magnitude < 0x3c800000u) {  // below 2^-6: subnormal, or rounded up to the first normal
    return uint8_t(sign | uint32_t(std::nearbyintf(std::bit_cast<float>(magnitude) * 0x1p9f)));
  }
  return uint8_t(sign | (magnitude - (120u << 23) + 0x7ffffu + ((magnitude >> 20) & 1u)) >> 20);
}

}  // namespace reform
