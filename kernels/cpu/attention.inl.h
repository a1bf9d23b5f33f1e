// Attention over packed tiles, in FP32. Included by kernels.inl.h.
//
// Tiles are FP32 and not BF16 because vdpbf16ps does 32 products per cycle at best, as two FMA units do, and half of
// that on Sapphire Rapids (measured: 114 GFLOP/s against 228). With FP32, logits of keys with large biases (Qwen2.5)
// stay exact too. matrix_kernels.h has another way.
//
// A row's result depends on its own tiles and never on the rows that share its block, so the division of rows among
// threads cannot change it.
#pragma once

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/rows.inl.h"

namespace {

using namespace reform::cpu;

void pack_keys(const PackArgs& a) {
  const int64_t padded = padded_dim(a.head_dim);
  for (int64_t s0 = 0; s0 < kTileSlots; s0 += kLanes) {
    for (int64_t r = 0; r < kLanes; ++r) {
      float* row = a.scratch + r * padded;
      const int64_t s = s0 + r;
      if (s < a.n_slots) {
        widen_row(a.is_f16, a.rows, s, a.head_dim, row);
        if (a.n_pairs > 0) rotate(row, a.cos + s * a.n_pairs, a.sin + s * a.n_pairs, a.n_pairs, a.halves);
      }
      clear(row, s < a.n_slots ? a.head_dim : 0, padded);
    }
    for (int64_t d = 0; d < a.head_dim; d += kLanes) {
      Vec block[kLanes];
      for (int64_t r = 0; r < kLanes; ++r) block[r] = load(a.scratch + r * padded + d);
      transpose(block);
      const int64_t n = a.head_dim - d < kLanes ? a.head_dim - d : kLanes;
      for (int64_t i = 0; i < n; ++i) store(a.out + (d + i) * kTileSlots + s0, block[i]);
    }
  }
}

void pack_values(const PackArgs& a) {
  const int64_t padded = padded_dim(a.head_dim);
  for (int64_t s = 0; s < a.n_slots; ++s) {
    widen_row(a.is_f16, a.rows, s, a.head_dim, a.out + s * padded);
    clear(a.out + s * padded, a.head_dim, padded);
  }
  clear(a.out, a.n_slots * padded, kTileSlots * padded);
}

// acc[row][vec] = q[row] . k (+ bias) for kColumnVecs * kLanes slots from `column` on.
template <int kRows, bool kBiased>
inline __attribute__((always_inline)) void dot_block(const TileRows& rows, int64_t column,
                                                     Vec (&acc)[kRows][kColumnVecs]) {
  const float* q[kRows];
  for (int r = 0; r < kRows; ++r) {
    q[r] = rows.q[r];
    for (int c = 0; c < kColumnVecs; ++c) {
      if constexpr (kBiased) {
        acc[r][c] = load(rows.bias + column + c * kLanes);
      } else {
        acc[r][c] = zero();
      }
    }
  }
  const float* k = rows.k_tile + column;
  for (int64_t d = 0; d < rows.head_dim; ++d, k += kTileSlots) {
    Vec key[kColumnVecs];
    for (int c = 0; c < kColumnVecs; ++c) key[c] = load(k + c * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const Vec query = set1(q[r][d]);
      for (int c = 0; c < kColumnVecs; ++c) acc[r][c] = fma(query, key[c], acc[r][c]);
    }
  }
}

// A masked logit: it is never the largest, and 2 to its power is exactly zero.
constexpr float kMasked = -__builtin_inff();

inline bool sees_all(const TileRows& rows, int r) { return rows.begin[r] == 0 && rows.end[r] == kTileSlots; }

// Raises the rows' maxima to include this tile, and gives the factors by which the old sums shrink.
template <int kRows>
inline void raise_max(const Vec (&tile_max)[kRows], float scale, float* max_so_far, float (&now)[16],
                      float (&factor)[16]) {
  float old[16] = {};
  for (int r = 0; r < kRows; ++r) {
    const float top = reduce_max(tile_max[r]) * scale;
    old[r] = max_so_far[r];
    now[r] = top > old[r] ? top : old[r];
    max_so_far[r] = now[r];
  }
  for (int r = kRows; r < 16; ++r) now[r] = 0.0f;
  for (int r = 0; r < kRows; r += kLanes) store(factor + r, exp2(load(old + r) - load(now + r)));
}

// out[row] = out[row] * factor[row] + p[row] . v over slots [begin, end), for kVecs vectors of a head's dimensions.
template <int kRows, int kVecs>
inline __attribute__((always_inline)) void weigh_block(const float* p, const float* v, int64_t v_stride, int64_t begin,
                                                       int64_t end, const float* factor, float* out) {
  Vec acc[kRows][kVecs];
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kVecs; ++c) acc[r][c] = load(out + r * v_stride + c * kLanes) * set1(factor[r]);
  }
  for (int64_t s = begin; s < end; ++s) {
    Vec value[kVecs];
    for (int c = 0; c < kVecs; ++c) value[c] = load(v + s * v_stride + c * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const Vec weight = set1(p[r * kTileSlots + s]);
      for (int c = 0; c < kVecs; ++c) acc[r][c] = fma(weight, value[c], acc[r][c]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kVecs; ++c) store(out + r * v_stride + c * kLanes, acc[r][c]);
  }
}

template <int kRows, bool kBiased>
void attend_rows(const TileRows& rows, const float* v_tile, const SoftmaxState& state) {
  int64_t begin = kTileSlots, end = 0;
  bool masked = false;
  Vec tile_max[kRows];
  for (int r = 0; r < kRows; ++r) {
    begin = rows.begin[r] < begin ? rows.begin[r] : begin;
    end = rows.end[r] > end ? rows.end[r] : end;
    masked = masked || !sees_all(rows, r);
    tile_max[r] = set1(kMasked);
  }
  for (int64_t column = 0; column < kTileSlots; column += kColumnVecs * kLanes) {
    Vec acc[kRows][kColumnVecs];
    dot_block<kRows, kBiased>(rows, column, acc);
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < kColumnVecs; ++c) {
        const int32_t first = int32_t(column) + c * kLanes;
        if (masked) acc[r][c] = keep_range(acc[r][c], first, rows.begin[r], rows.end[r], set1(kMasked));
        tile_max[r] = max(acc[r][c], tile_max[r]);
        store(state.logits + r * kTileSlots + first, acc[r][c]);
      }
    }
  }
  float now[16], factor[16];
  raise_max<kRows>(tile_max, rows.scale, state.max, now, factor);
  for (int r = 0; r < kRows; ++r) {
    float* const logits = state.logits + r * kTileSlots;
    Vec total = zero();
    for (int c = 0; c < kTileSlots; c += kLanes) {
      const Vec p = exp2(fma(load(logits + c), set1(rows.scale), set1(-now[r])));
      store(logits + c, p);
      total = total + p;
    }
    float* const sum = state.sum + r * kSumLanes;
    store(sum, fma(load(sum), set1(factor[r]), total));
  }
  const int64_t padded = padded_dim(rows.head_dim);
  int64_t d = 0;
  for (; d + kColumnVecs * kLanes <= padded; d += kColumnVecs * kLanes) {
    weigh_block<kRows, kColumnVecs>(state.logits, v_tile + d, padded, begin, end, factor, state.out + d);
  }
  for (; d < padded; d += kLanes) {
    weigh_block<kRows, 1>(state.logits, v_tile + d, padded, begin, end, factor, state.out + d);
  }
}

template <int kRows, bool kBiased>
void column_sums_rows(const TileRows& rows, const float* minus_lse, const float* weight, float* sums) {
  bool masked = false;
  for (int r = 0; r < kRows; ++r) masked = masked || !sees_all(rows, r);
  for (int64_t column = 0; column < kTileSlots; column += kColumnVecs * kLanes) {
    Vec acc[kRows][kColumnVecs];
    dot_block<kRows, kBiased>(rows, column, acc);
    for (int c = 0; c < kColumnVecs; ++c) {
      const int32_t first = int32_t(column) + c * kLanes;
      Vec total = load(sums + first);
      for (int r = 0; r < kRows; ++r) {
        Vec p = exp2(fma(acc[r][c], set1(rows.scale), set1(minus_lse[r])));
        if (masked) p = keep_range(p, first, rows.begin[r], rows.end[r], zero());
        total = fma(p, set1(weight[r]), total);
      }
      store(sums + first, total);
    }
  }
}

// A kernel for each number of rows, without and with a bias: what has none pays nothing for it.
void attend(const TileRows& rows, const float* v_tile, const SoftmaxState& state) {
  using Fn = decltype(&attend_rows<1, false>);
  constexpr Fn kPlain[] = {attend_rows<1, false>, attend_rows<2, false>, attend_rows<3, false>,
                           attend_rows<4, false>, attend_rows<5, false>, attend_rows<6, false>};
  constexpr Fn kBiased[] = {attend_rows<1, true>, attend_rows<2, true>, attend_rows<3, true>,
                            attend_rows<4, true>, attend_rows<5, true>, attend_rows<6, true>};
  static_assert(sizeof(kPlain) / sizeof(Fn) == kMaxBlockRows && sizeof(kBiased) == sizeof(kPlain));
  (rows.bias == nullptr ? kPlain : kBiased)[rows.n_rows - 1](rows, v_tile, state);
}

void column_sums(const TileRows& rows, const float* minus_lse, const float* weight, float* sums) {
  using Fn = decltype(&column_sums_rows<1, false>);
  constexpr Fn kPlain[] = {column_sums_rows<1, false>, column_sums_rows<2, false>, column_sums_rows<3, false>,
                           column_sums_rows<4, false>, column_sums_rows<5, false>, column_sums_rows<6, false>};
  constexpr Fn kBiased[] = {column_sums_rows<1, true>, column_sums_rows<2, true>, column_sums_rows<3, true>,
                            column_sums_rows<4, true>, column_sums_rows<5, true>, column_sums_rows<6, true>};
  static_assert(sizeof(kPlain) / sizeof(Fn) == kMaxBlockRows && sizeof(kBiased) == sizeof(kPlain));
  (rows.bias == nullptr ? kPlain : kBiased)[rows.n_rows - 1](rows, minus_lse, weight, sums);
}

}  // namespace
