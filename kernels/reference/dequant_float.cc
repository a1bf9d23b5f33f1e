#include <cstring>

#include "base/float16.h"
#include "kernels/reference/dequant.h"

namespace reform {
namespace {

uint16_t load_u16(const uint8_t* p) { return uint16_t(p[0] | p[1] << 8); }

}  // namespace

void dequant_f32_ref(const uint8_t* blocks, int64_t n_blocks, float* out) {
  if (n_blocks == 0) return;  // memcpy wants pointers even for nothing
  std::memcpy(out, blocks, size_t(n_blocks) * sizeof(float));
}

void dequant_f16_ref(const uint8_t* blocks, int64_t n_blocks, float* out) {
  for (int64_t i = 0; i < n_blocks; ++i) out[i] = f16_to_f32(load_u16(blocks + 2 * i));
}

void dequant_bf16_ref(const uint8_t* blocks, int64_t n_blocks, float* out) {
  for (int64_t i = 0; i < n_blocks; ++i) out[i] = bf16_to_f32(load_u16(blocks + 2 * i));
}

}  // namespace reform
