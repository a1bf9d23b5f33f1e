// Packing for the matrix unit: pairs of BF16 values in panels (matrix_kernels.h).
//
// The unit multiplies a left panel, [16, 32] row by row, by a right one, in which the two values of a 32-bit word are
// neighbours along the summed dimension: [16 pairs, 16 columns, 2]. So a right panel is a left one with its 32-bit
// words transposed.
#include "kernels/cpu/matrix_kernels.h"
#include "kernels/cpu/simd_avx512.h"
//
#include "kernels/cpu/rows.inl.h"

namespace {

using namespace reform::cpu;

struct Pair {
  __m256i hi, lo;
};

inline Pair split(Vec x) {
  const __m256i hi = (__m256i)_mm512_cvtneps_pbh(x);
  const Vec widened = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(hi), 16));
  return {hi, (__m256i)_mm512_cvtneps_pbh(x - widened)};
}

inline void store_pair(Vec x, uint16_t* hi, uint16_t* lo) {
  const Pair pair = split(x);
  _mm256_storeu_si256((__m256i*)hi, pair.hi);
  _mm256_storeu_si256((__m256i*)lo, pair.lo);
}

inline Vec join(__m256i first, __m256i second) {
  return _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1));
}

// x[first, first + 16) of n values, with zeros behind them.
inline Vec load_padded(const float* x, int64_t first, int64_t n) {
  if (n - first >= kLanes) return load(x + first);
  return n > first ? load_n(x + first, n - first) : zero();
}

}  // namespace

namespace reform::cpu {

void pack_queries_amx(const float* const* rows, int n_rows, int64_t head_dim, uint16_t* out) {
  const int64_t n_steps = matrix_dim(head_dim) / 32;
  for (int row0 = 0; row0 < n_rows; row0 += 16) {
    for (int64_t step = 0; step < n_steps; ++step) {
      Vec hi[16], lo[16];
      for (int r = 0; r < 16; ++r) {
        hi[r] = lo[r] = zero();
        if (row0 + r >= n_rows) continue;
        const Pair first = split(load_padded(rows[row0 + r], step * 32, head_dim));
        const Pair second = split(load_padded(rows[row0 + r], step * 32 + 16, head_dim));
        hi[r] = join(first.hi, second.hi);
        lo[r] = join(first.lo, second.lo);
      }
      transpose(hi);
      transpose(lo);
      uint16_t* const panel = out + (row0 / 32 * 4 * n_steps + step * 2 + row0 % 32 / 16) * kPanelElems;
      for (int i = 0; i < 16; ++i) {
        store((float*)(panel + i * 32), hi[i]);
        store((float*)(panel + n_steps * 2 * kPanelElems + i * 32), lo[i]);
      }
    }
  }
}

// Left panels: the slots are their rows.
void pack_keys_amx(const PackArgs& a) {
  const int64_t dim = matrix_dim(a.head_dim), n_steps = dim / 32;
  uint16_t* const out = (uint16_t*)a.out;
  float* const row = a.scratch;
  clear(row, 0, dim);
  for (int64_t s = 0; s < kTileSlots; ++s) {
    if (s < a.n_slots) {
      widen_row(a.is_f16, a.rows, s, a.head_dim, row);
      if (a.n_pairs > 0) rotate(row, a.cos + s * a.n_pairs, a.sin + s * a.n_pairs, a.n_pairs, a.halves);
    } else if (s == a.n_slots) {
      clear(row, 0, dim);
    }
    for (int64_t d = 0; d < dim; d += kLanes) {
      uint16_t* const to = out + (d / 32 * 4 + s / 16) * kPanelElems + s % 16 * 32 + d % 32;
      store_pair(load(row + d), to, to + n_steps * 4 * kPanelElems);
    }
  }
}

// Left panels: the dimensions are their rows.
void pack_values_amx(const PackArgs& a) {
  const int64_t padded = padded_dim(a.head_dim);
  uint16_t* const out = (uint16_t*)a.out;
  for (int64_t s0 = 0; s0 < kTileSlots; s0 += kLanes) {
    for (int64_t r = 0; r < kLanes; ++r) {
      float* const row = a.scratch + r * padded;
      const bool is_slot = s0 + r < a.n_slots;
      if (is_slot) widen_row(a.is_f16, a.rows, s0 + r, a.head_dim, row);
      clear(row, is_slot ? a.head_dim : 0, padded);
    }
    for (int64_t d = 0; d < padded; d += kLanes) {
      Vec block[kLanes];
      for (int64_t r = 0; r < kLanes; ++r) block[r] = load(a.scratch + r * padded + d);
      transpose(block);
      uint16_t* const panel = out + (d / 16 * 2 + s0 / 32) * kPanelElems + s0 % 32;
      for (int64_t i = 0; i < kLanes; ++i) {
        store_pair(block[i], panel + i * 32, panel + i * 32 + padded / 16 * 2 * kPanelElems);
      }
    }
  }
}

}  // namespace reform::cpu
