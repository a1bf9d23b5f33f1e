// Fills the FP32 panels (matmul_float.cc) of every type on AVX2: exact values, eight rows at a time, transposed in
// registers. Scalar dequantisation and a strided store took 2 to 4 ns a value, as long as 200 tokens' products.
#include "kernels/cpu/matmul_kernels.h"
#include "kernels/cpu/quant_unit_avx2.h"

namespace reform::cpu {
namespace {

constexpr int kRowsAtOnce = 8;

// out[0 .. n) = values of one row; n <= kUnitCols and a whole number of blocks.
template <class T>
struct Quantised {
  static constexpr int64_t kBytesPerUnit = kUnitCols / T::kBlockElems * T::kBlockBytes;
  static void row(const uint8_t* p, int64_t n, float* out) {
    Unit u;
    T::load(p, int(n / T::kBlockElems), u);
    alignas(32) float scales[16], offsets[16];
    for (int i = 0; i < 2; ++i) {
      _mm256_store_ps(scales + 8 * i, u.scale[i]);
      _mm256_store_ps(offsets + 8 * i, u.offset[i]);
    }
    for (int i = 0; i < int(n) / 32; ++i) {
      alignas(32) uint8_t q[32];
      _mm256_store_si256(reinterpret_cast<__m256i*>(q), u.q[i]);
      for (int j = 0; j < 4; ++j) {
        const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(q + 8 * j));
        const __m256 v = _mm256_cvtepi32_ps(T::kSigned ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes));
        const int sub = 2 * i + j / 2;
        // The product is exact in FP32 (kernels/reference/dequant.h), so a fused addition gives the same bits.
        _mm256_store_ps(out + 32 * i + 8 * j,
                        _mm256_fmadd_ps(v, _mm256_set1_ps(scales[sub]), _mm256_set1_ps(offsets[sub])));
      }
    }
  }
};

// `out` is 32-byte aligned.
template <class T>
struct Float {
  static constexpr int64_t kBytesPerUnit = kUnitCols * T::kBytes;
  static void row(const uint8_t* p, int64_t n, float* out) {
    int64_t c = 0;
    for (; c + 8 <= n; c += 8) _mm256_store_ps(out + c, T::load(p + c * T::kBytes));
    for (; c < n; ++c) out[c] = T::load_one(p + c * T::kBytes);
  }
};

// out[c * out_stride + r] = in[r][c], 8 by 8.
inline void transpose_8x8(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
  __m256 r[8], a[8], b[8];
  for (int i = 0; i < 8; ++i) r[i] = _mm256_load_ps(in + i * in_stride);
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    a[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_store_ps(out + i * out_stride, _mm256_permute2f128_ps(b[i], b[i + 4], 0x20));
    _mm256_store_ps(out + (i + 4) * out_stride, _mm256_permute2f128_ps(b[i], b[i + 4], 0x31));
  }
}

template <class T>
void fill(const uint8_t* w, int64_t row_bytes, int n_rows, int64_t n_cols, int panel_rows, float* panel) {
  // The padding keeps the eight rows of a transposition out of one cache set.
  alignas(32) float values[kRowsAtOnce][kUnitCols + 8];
  for (int first = 0; first < panel_rows; first += kRowsAtOnce) {
    for (int64_t col = 0; col < n_cols; col += kUnitCols) {
      const int64_t n = n_cols - col < kUnitCols ? n_cols - col : kUnitCols;
      for (int r = 0; r < kRowsAtOnce; ++r) {
        if (first + r < n_rows) {
          T::row(w + (first + r) * row_bytes + col / kUnitCols * T::kBytesPerUnit, n, values[r]);
        } else {
          __builtin_memset(values[r], 0, sizeof(values[r]));
        }
      }
      float* out = panel + col * panel_rows + first;
      int64_t c = 0;
      for (; c + 8 <= n; c += 8) transpose_8x8(values[0] + c, kUnitCols + 8, out + c * panel_rows, panel_rows);
      for (; c < n; ++c) {
        for (int r = 0; r < kRowsAtOnce; ++r) out[c * panel_rows + r] = values[r][c];
      }
    }
  }
}

template <class... F, class... T>
consteval PerType<FillPanelFn> fills(CodecList<F...>, CodecList<T...>) {
  PerType<FillPanelFn> all;
  ((all.of[int(F::kType)] = fill<Float<F>>), ...);
  ((all.of[int(T::kType)] = fill<Quantised<T>>), ...);
  return all;
}

}  // namespace

extern const PerType<FillPanelFn> kFillPanelAvx2 = fills(CodecList<F32, F16, BF16>{}, Codecs{});

}  // namespace reform::cpu
