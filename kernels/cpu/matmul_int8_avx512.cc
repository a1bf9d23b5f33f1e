// INT8 panels on AVX-512 VNNI, for calls of many tokens. A panel of 32 rows is unpacked once for all tokens: each
// format's values, exact up to then, are requantised to 8 bits with one scale per 64 columns, so that 16 vpdpbusd share
// one conversion and one FP32 multiply-add.
#include "kernels/cpu/matmul_kernels.h"
#include "kernels/cpu/quant_unit_avx512.h"

namespace reform::cpu {
namespace {

constexpr float kLargest = 127.0f;
// Below this a group counts as zero: its inverse would overflow.
constexpr float kTiny = 1e-35f;
constexpr int kNotFinite = 0x99;  // vfpclass: quiet NaN, +inf, -inf, signalling NaN

// --- activations

// One token's group of up to 64 values.
inline __attribute__((always_inline)) void pack_group(const float* x, int64_t n, ActivationGroup& out, int token) {
  __m512 v[4];
  __m512 largest = _mm512_setzero_ps();
  __mmask16 bad = 0;
  for (int i = 0; i < 4; ++i) {
    const int64_t left = n - 16 * i;
    const __mmask16 mask = left >= 16 ? 0xffff : left <= 0 ? 0 : __mmask16((1u << left) - 1);
    v[i] = _mm512_maskz_loadu_ps(mask, x + 16 * i);
    bad |= _mm512_fpclass_ps_mask(v[i], kNotFinite);
    largest = _mm512_max_ps(largest, _mm512_abs_ps(v[i]));
  }
  const float top = _mm512_reduce_max_ps(largest);
  const float inverse = top > kTiny ? kLargest / top : 0.0f;
  __m512i sum = _mm512_setzero_si512();
  alignas(64) int8_t values[64];
  for (int i = 0; i < 4; ++i) {
    const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(v[i], _mm512_set1_ps(inverse)));
    sum = _mm512_add_epi32(sum, q);
    _mm_store_si128(reinterpret_cast<__m128i*>(values + 16 * i), _mm512_cvtsepi32_epi8(q));
  }
  for (int k = 0; k < kGroupCols / 4; ++k) __builtin_memcpy(out.values[k][token], values + 4 * k, 4);
  out.scales[token] = bad ? __builtin_nanf("") : top > kTiny ? top / kLargest : 0.0f;
  out.bias_fix[token] = bad ? 0 : -128 * _mm512_reduce_add_epi32(sum);
}

// --- weights

// [4] groups of 64: the largest magnitude each can hold, in all four lanes of its 128 bits.
inline __m512 largest_of_groups(const Unit& u, float max_q) {
  const __m512 top = _mm512_fmadd_ps(u.scale, _mm512_set1_ps(max_q), u.offset);
  __m512 m = _mm512_max_ps(_mm512_abs_ps(u.offset), _mm512_abs_ps(top));
  m = _mm512_max_ps(m, _mm512_permute_ps(m, 0xb1));
  return _mm512_max_ps(m, _mm512_permute_ps(m, 0x4e));
}

// Each of four 16-bit words to all of its 128-bit lane: words 4 j .. 4 j + 3 of `words`.
inline __m512i words_of_group(__m256i words, int j) {
  constexpr int64_t kOnes = 0x0001000100010001;
  const __m512i index = _mm512_setr_epi64(0, 0, kOnes, kOnes, 2 * kOnes, 2 * kOnes, 3 * kOnes, 3 * kOnes);
  return _mm512_permutexvar_epi16(_mm512_add_epi16(index, _mm512_set1_epi16(short(4 * j))),
                                  _mm512_castsi256_si512(words));
}

// The unit as value + 128 with scales[j] for each group of 64. In 8.8 fixed point, q * a + b: a is off by at most
// 2^-9, which 63 q make an eighth of a step.
template <class T>
inline __attribute__((always_inline)) void requantise(const Unit& u, __m512i* values, float* scales) {
  const __m512 largest = largest_of_groups(u, float(T::kMaxQ));
  const __mmask16 used = _mm512_cmp_ps_mask(largest, _mm512_set1_ps(kTiny), _CMP_GT_OQ);
  const __m512 inverse = _mm512_maskz_mul_ps(used, _mm512_set1_ps(kLargest), _mm512_maskz_rcp14_ps(used, largest));
  __m512 group_scales = _mm512_mul_ps(largest, _mm512_set1_ps(1.0f / kLargest));
  const __mmask16 bad = _mm512_fpclass_ps_mask(u.scale, kNotFinite) | _mm512_fpclass_ps_mask(u.offset, kNotFinite);
  if (__builtin_expect(bad != 0, 0)) {
    const __m512i all = _mm512_movm_epi32(bad);  // a bad sixteenth spoils its group
    __m512i any = _mm512_or_si512(all, _mm512_shuffle_epi32(all, _MM_PERM_CDAB));
    any = _mm512_or_si512(any, _mm512_shuffle_epi32(any, _MM_PERM_BADC));
    group_scales = _mm512_mask_mov_ps(group_scales, _mm512_movepi32_mask(any), _mm512_set1_ps(__builtin_nanf("")));
  }
  _mm_storeu_ps(scales, _mm512_castps512_ps128(_mm512_permutexvar_ps(
                            _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), group_scales)));
  const __m512 step = _mm512_mul_ps(inverse, _mm512_set1_ps(256.0f));
  const __m256i a = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(_mm512_mul_ps(u.scale, step)));
  const __m256i b = _mm512_cvtepi32_epi16(
      _mm512_cvtps_epi32(_mm512_fmadd_ps(u.offset, step, _mm512_set1_ps(128.0f * 256.0f + 128.0f))));
  for (int j = 0; j < 4; ++j) {
    const __m512i a_j = words_of_group(a, j), b_j = words_of_group(b, j), zero = _mm512_setzero_si512();
    const __m512i low = _mm512_unpacklo_epi8(u.q[j], zero), high = _mm512_unpackhi_epi8(u.q[j], zero);
    values[j] = _mm512_packus_epi16(_mm512_srli_epi16(_mm512_add_epi16(_mm512_mullo_epi16(low, a_j), b_j), 8),
                                    _mm512_srli_epi16(_mm512_add_epi16(_mm512_mullo_epi16(high, a_j), b_j), 8));
  }
}

// Eight-bit values need more than 8.8: the stored integers times scale / largest scale, rounded; a block that has its
// group's largest scale stays as it is.
template <>
inline __attribute__((always_inline)) void requantise<Q8_0>(const Unit& u, __m512i* values, float* scales) {
  __m512 largest = _mm512_abs_ps(u.scale);
  largest = _mm512_max_ps(largest, _mm512_permute_ps(largest, 0xb1));
  largest = _mm512_max_ps(largest, _mm512_permute_ps(largest, 0x4e));
  const __mmask16 used = _mm512_cmp_ps_mask(largest, _mm512_set1_ps(kTiny), _CMP_GT_OQ);
  const __m512 ratio = _mm512_maskz_div_ps(used, u.scale, largest);
  const __mmask16 bad = _mm512_fpclass_ps_mask(u.scale, kNotFinite);
  if (__builtin_expect(bad != 0, 0)) {
    const __m512i all = _mm512_movm_epi32(bad);
    __m512i any = _mm512_or_si512(all, _mm512_shuffle_epi32(all, _MM_PERM_CDAB));
    any = _mm512_or_si512(any, _mm512_shuffle_epi32(any, _MM_PERM_BADC));
    largest = _mm512_mask_mov_ps(largest, _mm512_movepi32_mask(any), _mm512_set1_ps(__builtin_nanf("")));
  }
  _mm_storeu_ps(scales, _mm512_castps512_ps128(_mm512_permutexvar_ps(
                            _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), largest)));
  const __m256i a = _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(_mm512_mul_ps(ratio, _mm512_set1_ps(32768.0f))));
  const __m512i sign = _mm512_set1_epi8(char(-128));
  for (int j = 0; j < 4; ++j) {
    const __m512i a_j = words_of_group(a, j), q = _mm512_xor_si512(u.q[j], sign);
    const __m512i low = _mm512_srai_epi16(_mm512_unpacklo_epi8(q, q), 8);
    const __m512i high = _mm512_srai_epi16(_mm512_unpackhi_epi8(q, q), 8);
    values[j] =
        _mm512_xor_si512(_mm512_packs_epi16(_mm512_mulhrs_epi16(low, a_j), _mm512_mulhrs_epi16(high, a_j)), sign);
  }
}

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
void unpack_panel(const uint8_t* w, int64_t row_bytes, int n_rows, int64_t n_cols, WeightGroup* out) {
  constexpr int kUnitGroups = int(kUnitCols / kGroupCols), kHalf = kInt8Rows / 2;
  const int n_blocks = int(n_cols / T::kBlockElems), unit_blocks = int(kUnitCols / T::kBlockElems);
  alignas(64) __m512i values[kHalf][kUnitGroups];
  for (int first = 0; first < n_blocks; first += unit_blocks) {
    const int n_unit_blocks = n_blocks - first < unit_blocks ? n_blocks - first : unit_blocks;
    const int n_groups = int((int64_t(n_unit_blocks) * T::kBlockElems + kGroupCols - 1) / kGroupCols);
    WeightGroup* groups = out + int64_t(first) * T::kBlockElems / kGroupCols;
    for (int half = 0; half < 2; ++half) {
      for (int r = 0; r < kHalf; ++r) {
        float scales[kUnitGroups] = {};
        const int row = kHalf * half + r;
        if (row < n_rows) {
          Unit u;
          T::load(w + row * row_bytes + int64_t(first) * T::kBlockBytes, n_unit_blocks, u);
          requantise<T>(u, values[r], scales);
        } else {
          for (int j = 0; j < kUnitGroups; ++j) values[r][j] = _mm512_setzero_si512();
        }
        for (int j = 0; j < n_groups; ++j) groups[j].scales[row] = scales[j];
      }
      for (int j = 0; j < n_groups; ++j) {
        transpose_16x16(&values[0][j], kUnitGroups, groups[j].values[0][kHalf * half], int64_t(kInt8Rows) * 4);
      }
    }
  }
}

// --- the product

template <int n_tokens>
inline __attribute__((always_inline)) void run_tile(const WeightGroup* w, const ActivationGroup* x, int64_t n_groups,
                                                    int n_rows, float* y, int64_t y_stride) {
  __m512 sums[n_tokens][2];
  for (int t = 0; t < n_tokens; ++t) sums[t][0] = sums[t][1] = _mm512_setzero_ps();
  for (int64_t g = 0; g < n_groups; ++g) {
    __m512i dots[n_tokens][2];
    for (int t = 0; t < n_tokens; ++t) dots[t][0] = dots[t][1] = _mm512_set1_epi32(x[g].bias_fix[t]);
#pragma GCC unroll 16
    for (int k = 0; k < kGroupCols / 4; ++k) {
      const __m512i w0 = _mm512_load_si512(w[g].values[k][0]), w1 = _mm512_load_si512(w[g].values[k][16]);
#pragma GCC unroll 6
      for (int t = 0; t < n_tokens; ++t) {
        int32_t four;
        __builtin_memcpy(&four, x[g].values[k][t], 4);
        const __m512i v = _mm512_set1_epi32(four);
        dots[t][0] = _mm512_dpbusd_epi32(dots[t][0], w0, v);
        dots[t][1] = _mm512_dpbusd_epi32(dots[t][1], w1, v);
      }
    }
    const __m512 s0 = _mm512_load_ps(w[g].scales), s1 = _mm512_load_ps(w[g].scales + 16);
#pragma GCC unroll 6
    for (int t = 0; t < n_tokens; ++t) {
      const __m512 s = _mm512_set1_ps(x[g].scales[t]);
      sums[t][0] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[t][0]), _mm512_mul_ps(s0, s), sums[t][0]);
      sums[t][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[t][1]), _mm512_mul_ps(s1, s), sums[t][1]);
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

}  // namespace

void pack_tile_avx512(const float* x, int64_t x_stride, int n_tokens, int64_t n_cols, ActivationGroup* out) {
  for (int64_t col = 0; col < n_cols; col += kGroupCols, ++out) {
    __builtin_memset(out, 0, sizeof(*out));
    for (int t = 0; t < n_tokens; ++t) pack_group(x + t * x_stride + col, n_cols - col, *out, t);
  }
}

void int8_run_avx512(const WeightGroup* w, const ActivationGroup* x, int64_t n_groups, int n_tokens, int n_rows,
                     float* y, int64_t y_stride) {
  switch (n_tokens) {
    case 1:
      return run_tile<1>(w, x, n_groups, n_rows, y, y_stride);
    case 2:
      return run_tile<2>(w, x, n_groups, n_rows, y, y_stride);
    case 3:
      return run_tile<3>(w, x, n_groups, n_rows, y, y_stride);
    case 4:
      return run_tile<4>(w, x, n_groups, n_rows, y, y_stride);
    case 5:
      return run_tile<5>(w, x, n_groups, n_rows, y, y_stride);
    default:
      return run_tile<6>(w, x, n_groups, n_rows, y, y_stride);
  }
}

extern const UnpackPanelFn kUnpackPanelAvx512[] = {
    nullptr,
    nullptr,
    nullptr,  // F32, F16, BF16
    unpack_panel<Small<4, false>>,
    unpack_panel<Small<4, true>>,
    unpack_panel<Small<5, false>>,
    unpack_panel<Small<5, true>>,
    unpack_panel<Q8_0>,
    unpack_panel<Q2_K>,
    unpack_panel<Q3_K>,
    unpack_panel<Q4_K>,
    unpack_panel<Q5_K>,
    unpack_panel<Q6_K>,
};

}  // namespace reform::cpu
