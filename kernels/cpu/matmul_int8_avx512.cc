// INT8 panels on AVX-512 VNNI, for calls of many tokens. A panel of 32 rows is unpacked once for all tokens. It keeps
// each format's integers, with their exact scales and offsets per 16 or 32 columns. Activations have 16 bits in two
// planes. So a product differs from the exact one only by the rounding of 16-bit activations and of FP32 sums.
#include "kernels/cpu/matmul_kernels.h"
#include "kernels/cpu/quant_unit_avx512.h"

namespace reform::cpu {
namespace {

// --- activations

// One token's group of up to 32 values.
inline __attribute__((always_inline)) void pack_group(const float* x, int64_t n, ActivationGroup& out, int token) {
  __m512 v[2];
  __mmask16 bad[2];
  for (int i = 0; i < 2; ++i) {
    const int64_t left = n - 16 * i;
    const __mmask16 mask = left >= 16 ? 0xffff : left <= 0 ? 0 : __mmask16((1u << left) - 1);
    v[i] = _mm512_maskz_loadu_ps(mask, x + 16 * i);
    bad[i] = _mm512_fpclass_ps_mask(v[i], kNotFinite);
  }
  const float top = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(v[0]), _mm512_abs_ps(v[1])));
  const float inverse = top > kTinyActivation ? kLargestActivation / top : 0.0f;
  const float scale = (bad[0] | bad[1]) ? __builtin_nanf("") : top > kTinyActivation ? top / kLargestActivation : 0.0f;
  alignas(32) int8_t high[32], low[32];
  int32_t sums[2];
  for (int i = 0; i < 2; ++i) {
    const __m512i q = _mm512_maskz_cvtps_epi32(_mm512_knot(bad[i]), _mm512_mul_ps(v[i], _mm512_set1_ps(inverse)));
    sums[i] = _mm512_reduce_add_epi32(q);
    _mm_store_si128(reinterpret_cast<__m128i*>(high + 16 * i), high_bytes(q));
    _mm_store_si128(reinterpret_cast<__m128i*>(low + 16 * i), _mm512_cvtepi32_epi8(q));
  }
  for (int k = 0; k < kGroupCols / 4; ++k) {
    __builtin_memcpy(out.high[k][token], high + 4 * k, 4);
    __builtin_memcpy(out.low[k][token], low + 4 * k, 4);
  }
  out.scales[token] = scale;
  for (int i = 0; i < 2; ++i) out.sums_16[i][token] = scale * float(sums[i]);
  out.sums_32[0][token] = scale * float(sums[0] + sums[1]);
}

// --- weights

// out[k] = dword k of each of the 16 rows; rows are 64 bytes, `stride` vectors apart.
inline void transpose_16x16(const __m512i* rows, int stride, uint8_t* out, int64_t out_stride) {
  __m512i a[16], b[16];
  for (int i = 0; i < 16; i += 2) {
    const __m512i even = rows[i * stride], odd = rows[(i + 1) * stride];
    a[i] = _mm512_unpacklo_epi32(even, odd);
    a[i + 1] = _mm512_unpackhi_epi32(even, odd);
  }
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
  // b[4 r + c] has, in 128-bit lane l, dword 4 l + c of rows 4 r .. 4 r + 3.
  for (int c = 0; c < 4; ++c) {
    const __m512i r01_lanes01 = _mm512_shuffle_i32x4(b[c], b[4 + c], 0x44);
    const __m512i r01_lanes23 = _mm512_shuffle_i32x4(b[c], b[4 + c], 0xee);
    const __m512i r23_lanes01 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0x44);
    const __m512i r23_lanes23 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0xee);
    _mm512_store_si512(out + c * out_stride, _mm512_shuffle_i32x4(r01_lanes01, r23_lanes01, 0x88));
    _mm512_store_si512(out + (4 + c) * out_stride, _mm512_shuffle_i32x4(r01_lanes01, r23_lanes01, 0xdd));
    _mm512_store_si512(out + (8 + c) * out_stride, _mm512_shuffle_i32x4(r01_lanes23, r23_lanes23, 0x88));
    _mm512_store_si512(out + (12 + c) * out_stride, _mm512_shuffle_i32x4(r01_lanes23, r23_lanes23, 0xdd));
  }
}

template <class T>
void unpack_panel(const uint8_t* w, int64_t row_bytes, int n_rows, int64_t n_cols, WeightUnit* out) {
  constexpr int kHalf = kInt8Rows / 2, kStride = kInt8Rows * 4;
  constexpr int64_t kUnitBlocks = kUnitCols / T::kBlockElems;
  const int64_t n_blocks = n_cols / T::kBlockElems;
  for (int64_t first = 0; first < n_blocks; first += kUnitBlocks, ++out) {
    const int n_unit_blocks = int(n_blocks - first < kUnitBlocks ? n_blocks - first : kUnitBlocks);
    for (int half = 0; half < 2; ++half) {
      __m512i q[kHalf][4], scales[kHalf], offsets[kHalf];
      for (int r = 0; r < kHalf; ++r) {
        Unit u{};
        if (kHalf * half + r < n_rows) {
          T::load(w + (kHalf * half + r) * row_bytes + first * T::kBlockBytes, n_unit_blocks, u);
        }
        for (int j = 0; j < 4; ++j) q[r][j] = u.q[j];
        scales[r] = _mm512_castps_si512(u.scale), offsets[r] = _mm512_castps_si512(u.offset);
      }
      for (int j = 0; j < 4; ++j) transpose_16x16(&q[0][j], 4, out->q[16 * j][kHalf * half], kStride);
      transpose_16x16(scales, 1, reinterpret_cast<uint8_t*>(&out->scales[0][kHalf * half]), kStride);
      transpose_16x16(offsets, 1, reinterpret_cast<uint8_t*>(&out->offsets[0][kHalf * half]), kStride);
    }
  }
}

// --- the product

// dots[t][half] += columns [4 * begin, 4 * (begin + n)) of the group's plane.
template <int n_tokens, int n>
inline __attribute__((always_inline)) void add_plane(const uint8_t (*w)[kInt8Rows][4],
                                                     const int8_t (*x)[kInt8Tokens][4], int begin,
                                                     __m512i (&dots)[n_tokens][2]) {
#pragma GCC unroll 8
  for (int k = 0; k < n; ++k) {
    const __m512i w0 = _mm512_load_si512(w[k][0]), w1 = _mm512_load_si512(w[k][16]);
#pragma GCC unroll 6
    for (int t = 0; t < n_tokens; ++t) {
      int32_t four;
      __builtin_memcpy(&four, x[begin + k][t], 4);
      const __m512i v = _mm512_set1_epi32(four);
      dots[t][0] = _mm512_dpbusd_epi32(dots[t][0], w0, v);
      dots[t][1] = _mm512_dpbusd_epi32(dots[t][1], w1, v);
    }
  }
}

// Weights that share a scale: block `b` of the group, kBlock columns. value = scale * q + offset, so the sum is (scale
// * x_scale) * (q . x) + offset * x_sum. INT32 is wide enough for 32 columns of at most 255 * 127, times 256.
template <int n_tokens, int kBlock>
inline __attribute__((always_inline)) void add_block(const uint8_t (*w)[kInt8Rows][4], const float* scales,
                                                     const float* offsets, const ActivationGroup& x, int b,
                                                     __m512 (&sums)[n_tokens][2]) {
  constexpr int kSteps = kBlock / 4;
  __m512i dots[n_tokens][2];
  for (int t = 0; t < n_tokens; ++t) dots[t][0] = dots[t][1] = _mm512_setzero_si512();
  add_plane<n_tokens, kSteps>(w, x.high, b * kSteps, dots);
  for (int t = 0; t < n_tokens; ++t) {
    for (__m512i& dot : dots[t]) dot = _mm512_slli_epi32(dot, 8);
  }
  add_plane<n_tokens, kSteps>(w, x.low, b * kSteps, dots);
  const float* x_sums = kBlock == 16 ? x.sums_16[b] : x.sums_32[0];
#pragma GCC unroll 6
  for (int t = 0; t < n_tokens; ++t) {
    const __m512 scale = _mm512_set1_ps(x.scales[t]), sum = _mm512_set1_ps(x_sums[t]);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m512 s = _mm512_mul_ps(_mm512_load_ps(scales + 16 * half), scale);
      sums[t][half] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[t][half]), s, sums[t][half]);
      sums[t][half] = _mm512_fmadd_ps(_mm512_load_ps(offsets + 16 * half), sum, sums[t][half]);
    }
  }
}

template <int n_tokens, int kBlock>
inline __attribute__((always_inline)) void run_tile(const WeightUnit* w, const ActivationGroup* x, int64_t n_groups,
                                                    int n_rows, float* y, int64_t y_stride) {
  constexpr int kUnitGroups = int(kUnitCols / kGroupCols), kGroupSteps = int(kGroupCols / 4);
  __m512 sums[n_tokens][2];
  for (int t = 0; t < n_tokens; ++t) sums[t][0] = sums[t][1] = _mm512_setzero_ps();
  for (int64_t g = 0; g < n_groups; ++g) {
    const WeightUnit& unit = w[g / kUnitGroups];
    const int at = int(g % kUnitGroups);
#pragma GCC unroll 2
    for (int b = 0; b < int(kGroupCols) / kBlock; ++b) {
      add_block<n_tokens, kBlock>(unit.q + at * kGroupSteps + b * kBlock / 4, unit.scales[2 * at + b],
                                  unit.offsets[2 * at + b], x[g], b, sums);
    }
  }
  const uint32_t rows = n_rows >= 32 ? ~0u : (1u << n_rows) - 1;
  for (int t = 0; t < n_tokens; ++t) {
    float* out = y + t * y_stride;
    const __mmask16 m0 = __mmask16(rows), m1 = __mmask16(rows >> 16);
    _mm512_mask_storeu_ps(out, m0, _mm512_add_ps(_mm512_maskz_loadu_ps(m0, out), sums[t][0]));
    _mm512_mask_storeu_ps(out + 16, m1, _mm512_add_ps(_mm512_maskz_loadu_ps(m1, out + 16), sums[t][1]));
  }
}

template <int kBlock>
void run(const WeightUnit* w, const ActivationGroup* x, int64_t n_groups, int n_tokens, int n_rows, float* y,
         int64_t y_stride) {
  switch (n_tokens) {
    case 1:
      return run_tile<1, kBlock>(w, x, n_groups, n_rows, y, y_stride);
    case 2:
      return run_tile<2, kBlock>(w, x, n_groups, n_rows, y, y_stride);
    case 3:
      return run_tile<3, kBlock>(w, x, n_groups, n_rows, y, y_stride);
    case 4:
      return run_tile<4, kBlock>(w, x, n_groups, n_rows, y, y_stride);
    case 5:
      return run_tile<5, kBlock>(w, x, n_groups, n_rows, y, y_stride);
    default:
      return run_tile<6, kBlock>(w, x, n_groups, n_rows, y, y_stride);
  }
}

template <class... T>
consteval PerType<Int8Kernel> int8_kernels(CodecList<T...>) {
  PerType<Int8Kernel> all;
  ((all.of[int(T::kType)] = {unpack_panel<T>, run<T::kScaleElems>}), ...);
  return all;
}

}  // namespace

void pack_tile_avx512(const float* x, int64_t x_stride, int n_tokens, int64_t n_cols, ActivationGroup* out) {
  for (int64_t col = 0; col < n_cols; col += kGroupCols, ++out) {
    __builtin_memset(out, 0, sizeof(*out));
    for (int t = 0; t < n_tokens; ++t) pack_group(x + t * x_stride + col, n_cols - col, *out, t);
  }
}

extern const PerType<Int8Kernel> kInt8Avx512 = int8_kernels(Codecs{});

}  // namespace reform::cpu
