// The 32-element formats. In the 4 and 5-bit ones, byte i of qs holds element i in its low and element i + 16 in its
// high half; bit i of qh is element i's fifth bit. _0 formats are symmetric around a fixed offset, _1 add a minimum.
#include "base/float16.h"
#include "kernels/reference/dequant.h"

namespace reform {
namespace {

constexpr int kBlockElems = 32, kHalf = kBlockElems / 2;

float load_half(const uint8_t* p) { return f16_to_f32(uint16_t(p[0] | p[1] << 8)); }
uint32_t load_u32(const uint8_t* p) {
  return uint32_t(p[0]) | uint32_t(p[1]) << 8 | uint32_t(p[2]) << 16 | uint32_t(p[3]) << 24;
}

// Element i's unsigned value; qh is zero in the 4-bit formats.
int value_at(const uint8_t* qs, uint32_t qh, int i) {
  const int low = i < kHalf ? qs[i] & 15 : qs[i - kHalf] >> 4;
  return low | int((qh >> i) & 1) << 4;
}

}  // namespace

// {half d; u8 qs[16]}: d * (q - 8).
void dequant_q4_0_ref(const uint8_t* blocks, int64_t n_blocks, float* out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 18, out += kBlockElems) {
    const float d = load_half(blocks);
    for (int i = 0; i < kBlockElems; ++i) out[i] = d * float(value_at(blocks + 2, 0, i) - 8);
  }
}

// {half d, m; u8 qs[16]}: d * q + m.
void dequant_q4_1_ref(const uint8_t* blocks, int64_t n_blocks, float* out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 20, out += kBlockElems) {
    const float d = load_half(blocks), m = load_half(blocks + 2);
    for (int i = 0; i < kBlockElems; ++i) out[i] = d * float(value_at(blocks + 4, 0, i)) + m;
  }
}

// {half d; u32 qh; u8 qs[16]}: d * (q - 16).
void dequant_q5_0_ref(const uint8_t* blocks, int64_t n_blocks, float* out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 22, out += kBlockElems) {
    const float d = load_half(blocks);
    const uint32_t qh = load_u32(blocks + 2);
    for (int i = 0; i < kBlockElems; ++i) out[i] = d * float(value_at(blocks + 6, qh, i) - 16);
  }
}

// {half d, m; u32 qh; u8 qs[16]}: d * q + m.
void dequant_q5_1_ref(const uint8_t* blocks, int64_t n_blocks, float* out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 24, out += kBlockElems) {
    const float d = load_half(blocks), m = load_half(blocks + 2);
    const uint32_t qh = load_u32(blocks + 4);
    for (int i = 0; i < kBlockElems; ++i) out[i] = d * float(value_at(blocks + 8, qh, i)) + m;
  }
}

// {half d; i8 qs[32]}: d * q.
void dequant_q8_0_ref(const uint8_t* blocks, int64_t n_blocks, float* out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 34, out += kBlockElems) {
    const float d = load_half(blocks);
    for (int i = 0; i < kBlockElems; ++i) out[i] = d * float(int8_t(blocks[2 + i]));
  }
}

}  // namespace reform
