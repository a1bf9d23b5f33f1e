// A matrix times one to seven vectors on AVX-512 VNNI, directly on the stored blocks. Limit: the bytes of the weights,
// which are read once for up to four vectors and lie in the L1 cache for the others. Weights keep their exact scales
// and offsets; activations are two INT8 planes with a scale per 16.
#include "kernels/cpu/matmul_kernels.h"
#include "kernels/cpu/quant_unit_avx512.h"

namespace reform::cpu {
namespace {

inline __mmask16 first_lanes(int64_t n) { return n >= 16 ? 0xffff : n <= 0 ? 0 : __mmask16((1u << n) - 1); }

// value = scale * q + offset, so a sum over 16 elements is (scale * x_scale) * (q . x) + offset * x_sum.
template <class T, int n_tokens>
inline __attribute__((always_inline)) void add_unit(const uint8_t* block, int n_blocks, const ActivationUnit* x,
                                                    int64_t x_stride, __m512 (&sums)[n_tokens][2]) {
  Unit u;
  T::load(block, n_blocks, u);
  const int n_groups = (n_blocks * T::kBlockElems + 63) / 64;
#pragma GCC unroll 4
  for (int t = 0; t < n_tokens; ++t) {
    const ActivationUnit& v = x[t * x_stride];
    const __m512 scales = _mm512_mul_ps(u.scale, _mm512_load_ps(v.scales));
    sums[t][0] = _mm512_fmadd_ps(u.offset, _mm512_load_ps(v.sums), sums[t][0]);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      if (j >= n_groups) break;
      const __m512i high = _mm512_dpbusd_epi32(_mm512_setzero_si512(), u.q[j], _mm512_load_si512(v.high + 64 * j));
      const __m512i dots = _mm512_dpbusd_epi32(_mm512_slli_epi32(high, 8), u.q[j], _mm512_load_si512(v.low + 64 * j));
      const __m512i spread =
          _mm512_add_epi32(_mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3), _mm512_set1_epi32(4 * j));
      sums[t][(j + 1) % 2] =
          _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), _mm512_permutexvar_ps(spread, scales), sums[t][(j + 1) % 2]);
    }
  }
}

template <class T, int n_tokens>
void one_row(const uint8_t* w, int64_t n_cols, const ActivationUnit* x, int64_t x_stride, float* y, int64_t y_stride) {
  constexpr int kUnitBlocks = int(kUnitCols) / T::kBlockElems;
  const int64_t n_blocks = n_cols / T::kBlockElems, whole = n_blocks / kUnitBlocks;
  __m512 sums[n_tokens][2];
  for (int t = 0; t < n_tokens; ++t) sums[t][0] = sums[t][1] = _mm512_setzero_ps();
  int64_t unit = 0;
  for (; unit < whole; ++unit) {
    add_unit<T, n_tokens>(w + unit * kUnitBlocks * T::kBlockBytes, kUnitBlocks, x + unit, x_stride, sums);
  }
  if (const int rest = int(n_blocks - whole * kUnitBlocks); rest > 0) {
    add_unit<T, n_tokens>(w + unit * kUnitBlocks * T::kBlockBytes, rest, x + unit, x_stride, sums);
  }
  for (int t = 0; t < n_tokens; ++t) y[t * y_stride] += _mm512_reduce_add_ps(_mm512_add_ps(sums[t][0], sums[t][1]));
}

template <class T>
void matvec(const uint8_t* w, int64_t row_bytes, int64_t n_rows, int64_t n_cols, const ActivationUnit* x,
            int64_t x_stride, int n_tokens, float* y, int64_t y_stride) {
  for (int64_t r = 0; r < n_rows; ++r, w += row_bytes, ++y) {
    for (int t = 0; t < n_tokens; t += 4) {
      const ActivationUnit* first = x + t * x_stride;
      float* out = y + t * y_stride;
      switch (n_tokens - t) {
        case 1:
          one_row<T, 1>(w, n_cols, first, x_stride, out, y_stride);
          break;
        case 2:
          one_row<T, 2>(w, n_cols, first, x_stride, out, y_stride);
          break;
        case 3:
          one_row<T, 3>(w, n_cols, first, x_stride, out, y_stride);
          break;
        default:
          one_row<T, 4>(w, n_cols, first, x_stride, out, y_stride);
          break;
      }
    }
  }
}

// --- float weights: FP32 products and sums

struct F32 {
  static constexpr QuantType kType = QuantType::kF32;
  static constexpr int kBytes = 4;
  static __m512 load(const uint8_t* p, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, p); }
};
struct F16 {
  static constexpr QuantType kType = QuantType::kF16;
  static constexpr int kBytes = 2;
  static __m512 load(const uint8_t* p, __mmask16 mask) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p)); }
};
struct BF16 {
  static constexpr QuantType kType = QuantType::kBF16;
  static constexpr int kBytes = 2;
  static __m512 load(const uint8_t* p, __mmask16 mask) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p)), 16));
  }
};

template <class T, int n_tokens>
void float_row(const uint8_t* w, int64_t n_cols, const float* x, int64_t x_stride, float* y, int64_t y_stride) {
  __m512 sums[n_tokens][2];
  for (int t = 0; t < n_tokens; ++t) sums[t][0] = sums[t][1] = _mm512_setzero_ps();
  for (int64_t c = 0; c < n_cols; c += 32) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const int64_t at = c + 16 * half;
      const __mmask16 mask = first_lanes(n_cols - at);
      const __m512 v = T::load(w + at * T::kBytes, mask);
#pragma GCC unroll 4
      for (int t = 0; t < n_tokens; ++t) {
        sums[t][half] = _mm512_fmadd_ps(v, _mm512_maskz_loadu_ps(mask, x + t * x_stride + at), sums[t][half]);
      }
    }
  }
  for (int t = 0; t < n_tokens; ++t) y[t * y_stride] += _mm512_reduce_add_ps(_mm512_add_ps(sums[t][0], sums[t][1]));
}

template <class T>
void float_matvec(const uint8_t* w, int64_t row_bytes, int64_t n_rows, int64_t n_cols, const float* x, int64_t x_stride,
                  int n_tokens, float* y, int64_t y_stride) {
  for (int64_t r = 0; r < n_rows; ++r, w += row_bytes, ++y) {
    for (int t = 0; t < n_tokens; t += 4) {
      const float* first = x + t * x_stride;
      float* out = y + t * y_stride;
      switch (n_tokens - t) {
        case 1:
          float_row<T, 1>(w, n_cols, first, x_stride, out, y_stride);
          break;
        case 2:
          float_row<T, 2>(w, n_cols, first, x_stride, out, y_stride);
          break;
        case 3:
          float_row<T, 3>(w, n_cols, first, x_stride, out, y_stride);
          break;
        default:
          float_row<T, 4>(w, n_cols, first, x_stride, out, y_stride);
          break;
      }
    }
  }
}

template <class... T>
consteval PerType<MatVecFn> matvecs(CodecList<T...>) {
  PerType<MatVecFn> all;
  ((all.of[int(T::kType)] = matvec<T>), ...);
  return all;
}
template <class... T>
consteval PerType<FloatMatVecFn> float_matvecs(CodecList<T...>) {
  PerType<FloatMatVecFn> all;
  ((all.of[int(T::kType)] = float_matvec<T>), ...);
  return all;
}

}  // namespace

void pack_row_avx512(const float* x, int64_t n_cols, ActivationUnit* out) {
  for (int64_t c = 0; c < n_cols; c += kUnitCols, ++out) {
    for (int i = 0; i < kUnitCols / 16; ++i) {
      const __m512 v = _mm512_maskz_loadu_ps(first_lanes(n_cols - c - 16 * i), x + c + 16 * i);
      const __mmask16 bad = _mm512_fpclass_ps_mask(v, kNotFinite);
      const float top = _mm512_reduce_max_ps(_mm512_abs_ps(v));
      const bool used = top > kTinyActivation;
      const float inverse = used ? kLargestActivation / top : 0.0f;
      const __m512i q = _mm512_maskz_cvtps_epi32(_mm512_knot(bad), _mm512_mul_ps(v, _mm512_set1_ps(inverse)));
      const float scale = bad ? __builtin_nanf("") : used ? top / kLargestActivation : 0.0f;
      _mm_store_si128(reinterpret_cast<__m128i*>(out->high + 16 * i), high_bytes(q));
      _mm_store_si128(reinterpret_cast<__m128i*>(out->low + 16 * i), _mm512_cvtepi32_epi8(q));
      out->scales[i] = scale;
      out->sums[i] = scale * float(_mm512_reduce_add_epi32(q));
    }
  }
}

extern const PerType<MatVecFn> kMatVecAvx512 = matvecs(Codecs{});
extern const PerType<FloatMatVecFn> kFloatMatVecAvx512 = float_matvecs(CodecList<F32, F16, BF16>{});

}  // namespace reform::cpu
