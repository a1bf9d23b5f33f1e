// The 256-element "K" formats: sub-blocks of 16 or 32 elements, each with a small integer scale (and minimum) that one
// half scale (and one half minimum) per block multiplies.
#include "base/float16.h"
#include "kernels/reference/dequant.h"

namespace reform {
namespace {

constexpr int kBlockElems = 256;

float load_half(const uint8_t* p) { return f16_to_f32(uint16_t(p[0] | p[1] << 8)); }

// Q3_K: 16 six-bit scales in 12 bytes, biased by 32. Low four bits: the halves of bytes 0..7 (low halves are scales
// 0..7); high two bits: pairs of bits in bytes 8..11, byte i % 4, pair i / 4.
int q3_k_scale(const uint8_t* packed, int i) {
  const int low = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4;
  const int high = (packed[8 + i % 4] >> (2 * (i / 4))) & 3;
  return (low | high << 4) - 32;
}

// Q4_K and Q5_K: 8 six-bit scales and 8 six-bit minimums in 12 bytes. The first four of each lie in the low six bits
// of bytes 0..3 (scales) and 4..7 (minimums); the rest take their low four bits from bytes 8..11 and their high two
// from the top of bytes 0..7.
struct ScaleMin {
  int scale, min;
};
ScaleMin q4_k_scale_min(const uint8_t* packed, int i) {
  if (i < 4) return {packed[i] & 63, packed[i + 4] & 63};
  const uint8_t low = packed[i + 4];
  return {(low & 15) | (packed[i - 4] >> 6) << 4, (low >> 4) | (packed[i] >> 6) << 4};
}

}  // namespace

// {u8 scales[16]; u8 qs[64]; half d, dmin}: d * scale * q - dmin * min, sub-blocks of 16; a scales byte is scale (low
// half) and min. Each 32 bytes of qs hold 128 elements: bits 2s, 2s + 1 of byte l are element 32 s + l.
void dequant_q2_k_ref(const uint8_t* blocks, int64_t n_blocks, float* out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 84, out += kBlockElems) {
    const uint8_t *scales = blocks, *qs = blocks + 16;
    const float d = load_half(blocks + 80), dmin = load_half(blocks + 82);
    for (int i = 0; i < kBlockElems; ++i) {
      const int half = i / 128, shift = 2 * (i % 128 / 32), l = i % 32;
      const int q = (qs[32 * half + l] >> shift) & 3;
      const uint8_t scale_min = scales[i / 16];
      out[i] = d * float(scale_min & 15) * float(q) - dmin * float(scale_min >> 4);
    }
  }
}

// {u8 hmask[32]; u8 qs[64]; u8 scales[12]; half d}: d * scale * q, sub-blocks of 16. qs as in Q2_K; bit i / 32 of
// hmask[i % 32] set means 0 and clear means -4.
void dequant_q3_k_ref(const uint8_t* blocks, int64_t n_blocks, float* out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 110, out += kBlockElems) {
    const uint8_t *hmask = blocks, *qs = blocks + 32, *scales = blocks + 96;
    const float d = load_half(blocks + 108);
    for (int i = 0; i < kBlockElems; ++i) {
      const int half = i / 128, shift = 2 * (i % 128 / 32), l = i % 32;
      const int low = (qs[32 * half + l] >> shift) & 3;
      const int q = low - (((hmask[l] >> (i / 32)) & 1) ? 0 : 4);
      out[i] = d * float(q3_k_scale(scales, i / 16)) * float(q);
    }
  }
}

// {half d, dmin; u8 scales[12]; u8 qs[128]}: d * scale * q - dmin * min, sub-blocks of 32. Each 32 bytes of qs hold 64
// elements: byte l's low half is element l, its high half element 32 + l.
void dequant_q4_k_ref(const uint8_t* blocks, int64_t n_blocks, float* out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 144, out += kBlockElems) {
    const float d = load_half(blocks), dmin = load_half(blocks + 2);
    const uint8_t *scales = blocks + 4, *qs = blocks + 16;
    for (int sub = 0; sub < 8; ++sub) {
      const auto [scale, min] = q4_k_scale_min(scales, sub);
      for (int l = 0; l < 32; ++l) {
        const int q = (qs[32 * (sub / 2) + l] >> (4 * (sub % 2))) & 15;
        out[32 * sub + l] = d * float(scale) * float(q) - dmin * float(min);
      }
    }
  }
}

// {half d, dmin; u8 scales[12]; u8 qh[32]; u8 qs[128]}: Q4_K with a fifth bit, bit i / 32 of qh[i % 32].
void dequant_q5_k_ref(const uint8_t* blocks, int64_t n_blocks, float* out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 176, out += kBlockElems) {
    const float d = load_half(blocks), dmin = load_half(blocks + 2);
    const uint8_t *scales = blocks + 4, *qh = blocks + 16, *qs = blocks + 48;
    for (int sub = 0; sub < 8; ++sub) {
      const auto [scale, min] = q4_k_scale_min(scales, sub);
      for (int l = 0; l < 32; ++l) {
        const int low = (qs[32 * (sub / 2) + l] >> (4 * (sub % 2))) & 15;
        const int q = low | ((qh[l] >> sub) & 1) << 4;
        out[32 * sub + l] = d * float(scale) * float(q) - dmin * float(min);
      }
    }
  }
}

// {u8 ql[128]; u8 qh[64]; i8 scales[16]; half d}: d * scale * (q - 32), sub-blocks of 16. In each half of 128 elements
// i: the low four bits are half i / 64 of ql byte i % 64, the high two are pair i / 32 of qh byte i % 32.
void dequant_q6_k_ref(const uint8_t* blocks, int64_t n_blocks, float* out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 210, out += kBlockElems) {
    const float d = load_half(blocks + 208);
    for (int i = 0; i < kBlockElems; ++i) {
      const uint8_t *ql = blocks + 64 * (i / 128), *qh = blocks + 128 + 32 * (i / 128);
      const int k = i % 128;
      const int low = (ql[k % 64] >> (4 * (k / 64))) & 15;
      const int high = (qh[k % 32] >> (2 * (k / 32))) & 3;
      const int scale = int8_t(blocks[192 + i / 16]);
      out[i] = d * float(scale) * float((low | high << 4) - 32);
    }
  }
}

}  // namespace reform
