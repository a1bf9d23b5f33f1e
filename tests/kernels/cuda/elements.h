// The 16-bit elements that products on the tensor cores take, to numbers and back.
#pragma once

#include "base/float16.h"
#include "kernels/cuda/product_library.h"

namespace reform::test {

inline float value_of(cuda::Element element, uint16_t bits) {
  return element == cuda::Element::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}
inline uint16_t element_of(cuda::Element element, float value) {
  return element == cuda::Element::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
}

}  // namespace reform::test
