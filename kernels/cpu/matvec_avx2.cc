// A matrix times one to seven vectors on AVX2, directly on the stored blocks. As matvec_avx512.cc, but with vpmaddubsw
// for the INT8 products (its INT16 pairs cannot saturate: 2 * 63 * 128, and 2 * 128 * 127 for Q8_0).
#include "kernels/cpu/matmul_kernels.h"
#include "kernels/cpu/quant_unit_avx2.h"

namespace reform::cpu {
namespace {

inline float horizontal_sum(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

// 16 INT32 as signed bytes.
inline __m128i bytes_of(__m256i a, __m256i b) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
  return _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

// Sums of 4 products each.
template <bool is_signed>
inline __m256i dot_4(__m256i q, __m256i x) {
  const __m256i pairs =
      is_signed ? _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(x, q)) : _mm256_maddubs_epi16(q, x);
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

// value = scale * q + offset, so a sum over 16 elements is (scale * x_scale) * (q . x) + offset * x_sum.
template <class T, int n_tokens>
inline __attribute__((always_inline)) void add_unit(const uint8_t* block, int n_blocks, const ActivationUnit* x,
                                                    int64_t x_stride, __m256 (&sums)[n_tokens][2]) {
  Unit u;
  T::load(block, n_blocks, u);
  const int n_vectors = n_blocks * T::kBlockElems / 32;
  for (int t = 0; t < n_tokens; ++t) {
    const ActivationUnit& v = x[t * x_stride];
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m256 scales = _mm256_mul_ps(u.scale[half], _mm256_load_ps(v.scales + 8 * half));
      if (!T::kSigned) {
        sums[t][half] = _mm256_fmadd_ps(u.offset[half], _mm256_load_ps(v.sums + 8 * half), sums[t][half]);
      }
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const int i = 4 * half + j;
        if (i >= n_vectors) break;
        const __m256i high =
            dot_4<T::kSigned>(u.q[i], _mm256_load_si256(reinterpret_cast<const __m256i*>(v.high + 32 * i)));
        const __m256i low =
            dot_4<T::kSigned>(u.q[i], _mm256_load_si256(reinterpret_cast<const __m256i*>(v.low + 32 * i)));
        const __m256i dots = _mm256_add_epi32(_mm256_slli_epi32(high, 8), low);
        const __m256i spread = _mm256_add_epi32(_mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1), _mm256_set1_epi32(2 * j));
        sums[t][j % 2] =
            _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots), _mm256_permutevar8x32_ps(scales, spread), sums[t][j % 2]);
      }
    }
  }
}

template <class T, int n_tokens>
void one_row(const uint8_t* w, int64_t n_cols, const ActivationUnit* x, int64_t x_stride, float* y, int64_t y_stride) {
  constexpr int kUnitBlocks = int(kUnitCols) / T::kBlockElems;
  const int64_t n_blocks = n_cols / T::kBlockElems, whole = n_blocks / kUnitBlocks;
  __m256 sums[n_tokens][2];
  for (int t = 0; t < n_tokens; ++t) sums[t][0] = sums[t][1] = _mm256_setzero_ps();
  for (int64_t unit = 0; unit < whole; ++unit) {
    add_unit<T, n_tokens>(w + unit * kUnitBlocks * T::kBlockBytes, kUnitBlocks, x + unit, x_stride, sums);
  }
  if (const int rest = int(n_blocks - whole * kUnitBlocks); rest > 0) {
    add_unit<T, n_tokens>(w + whole * kUnitBlocks * T::kBlockBytes, rest, x + whole, x_stride, sums);
  }
  for (int t = 0; t < n_tokens; ++t) y[t * y_stride] += horizontal_sum(_mm256_add_ps(sums[t][0], sums[t][1]));
}

template <class T>
void matvec(const uint8_t* w, int64_t row_bytes, int64_t n_rows, int64_t n_cols, const ActivationUnit* x,
            int64_t x_stride, int n_tokens, float* y, int64_t y_stride) {
  for (int64_t r = 0; r < n_rows; ++r, w += row_bytes, ++y) {
    int t = 0;
    for (; t + 2 <= n_tokens; t += 2) one_row<T, 2>(w, n_cols, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
    if (t < n_tokens) one_row<T, 1>(w, n_cols, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
  }
}

// --- float weights: FP32 products and sums

template <class T>
float float_dot(const uint8_t* w, int64_t n_cols, const float* x) {
  __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  int64_t c = 0;
  for (; c + 16 <= n_cols; c += 16) {
    sums[0] = _mm256_fmadd_ps(T::load(w + c * T::kBytes), _mm256_loadu_ps(x + c), sums[0]);
    sums[1] = _mm256_fmadd_ps(T::load(w + (c + 8) * T::kBytes), _mm256_loadu_ps(x + c + 8), sums[1]);
  }
  float sum = horizontal_sum(_mm256_add_ps(sums[0], sums[1]));
  for (; c < n_cols; ++c) sum += T::load_one(w + c * T::kBytes) * x[c];
  return sum;
}

template <class T>
void float_matvec(const uint8_t* w, int64_t row_bytes, int64_t n_rows, int64_t n_cols, const float* x, int64_t x_stride,
                  int n_tokens, float* y, int64_t y_stride) {
  for (int64_t r = 0; r < n_rows; ++r, w += row_bytes, ++y) {
    for (int t = 0; t < n_tokens; ++t) y[t * y_stride] += float_dot<T>(w, n_cols, x + t * x_stride);
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

void pack_row_avx2(const float* x, int64_t n_cols, ActivationUnit* out) {
  for (int64_t c = 0; c < n_cols; c += kUnitCols, ++out) {
    for (int i = 0; i < kUnitCols / 16; ++i) {
      alignas(32) float v[16] = {};
      const int64_t left = n_cols - c - 16 * i;
      for (int k = 0; k < 16 && k < left; ++k) v[k] = x[c + 16 * i + k];
      const __m256 v0 = _mm256_load_ps(v), v1 = _mm256_load_ps(v + 8), sign = _mm256_set1_ps(-0.0f);
      // 0 * v is NaN if v is NaN or infinite; the sum below carries it into the scale.
      const __m256 nothing =
          _mm256_mul_ps(_mm256_add_ps(_mm256_mul_ps(v0, _mm256_setzero_ps()), _mm256_mul_ps(v1, _mm256_setzero_ps())),
                        _mm256_setzero_ps());
      __m256 top8 = _mm256_max_ps(_mm256_andnot_ps(sign, v0), _mm256_andnot_ps(sign, v1));
      __m128 top4 = _mm_max_ps(_mm256_castps256_ps128(top8), _mm256_extractf128_ps(top8, 1));
      top4 = _mm_max_ps(top4, _mm_movehl_ps(top4, top4));
      const float top = _mm_cvtss_f32(_mm_max_ss(top4, _mm_movehdup_ps(top4)));
      const bool used = top > kTinyActivation;
      const __m256 inverse = _mm256_set1_ps(used ? kLargestActivation / top : 0.0f);
      const __m256i q0 = _mm256_cvtps_epi32(_mm256_mul_ps(v0, inverse));
      const __m256i q1 = _mm256_cvtps_epi32(_mm256_mul_ps(v1, inverse));
      const __m256i rounding = _mm256_set1_epi32(128);
      const __m256i h0 = _mm256_srai_epi32(_mm256_add_epi32(q0, rounding), 8);
      const __m256i h1 = _mm256_srai_epi32(_mm256_add_epi32(q1, rounding), 8);
      _mm_store_si128(reinterpret_cast<__m128i*>(out->high + 16 * i), bytes_of(h0, h1));
      // -128 becomes -127, a step of 2^-15: vpsignb in dot_4() could not negate it.
      const __m128i low =
          bytes_of(_mm256_sub_epi32(q0, _mm256_slli_epi32(h0, 8)), _mm256_sub_epi32(q1, _mm256_slli_epi32(h1, 8)));
      _mm_store_si128(reinterpret_cast<__m128i*>(out->low + 16 * i), _mm_max_epi8(low, _mm_set1_epi8(-127)));
      const float scale = (used ? top / kLargestActivation : 0.0f) + horizontal_sum(nothing);
      out->scales[i] = scale;
      out->sums[i] = scale * horizontal_sum(_mm256_cvtepi32_ps(_mm256_add_epi32(q0, q1)));
    }
  }
}

extern const PerType<MatVecFn> kMatVecAvx2 = matvecs(Codecs{});
extern const PerType<FloatMatVecFn> kFloatMatVecAvx2 = float_matvecs(CodecList<F32, F16, BF16>{});

}  // namespace reform::cpu
