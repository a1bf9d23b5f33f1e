// INT8 scores with VNNI, sixteen queries to a vector. A lane is a query, and four stored dimensions are broadcast to
// all lanes, so no sum crosses lanes until a row is done.
//
// vpdpbusd multiplies unsigned by signed bytes. The stored side is made unsigned, s + 128, by flipping its top bit when
// it is loaded. The sums start at -128 * (sum of the query's head), which takes the 128 out again.
#include <string.h>

#include "kernels/cpu/intrinsics.h"
#include "kernels/cpu/score.h"

namespace {

using reform::cpu::ScoreArgs;

constexpr int64_t kLanes = 16;
constexpr int kRows = 6;      // x 2 vectors of queries: 12 sums and 12 means in registers
constexpr int kBestRows = 8;  // x 2 vectors of queries: 16 sums in registers

// Packed queries: values [n_heads, n_vecs, n_groups, 16 lanes, 4 dimensions], then starts INT32 and scales FP32
// [n_heads, n_vecs, 16]. Lanes and dimensions beyond the queries' are zeros.
struct Layout {
  int64_t n_vecs, n_groups, value_bytes, lane_bytes;
  Layout(int64_t n_query, int64_t n_heads, int64_t head_dim)
      : n_vecs((n_query + kLanes - 1) / kLanes),
        n_groups((head_dim + 3) / 4),
        value_bytes(n_heads * n_vecs * n_groups * 64),
        lane_bytes(n_heads * n_vecs * 64) {}
};

struct Packed {
  const int8_t* values;
  const int32_t* starts;
  const float* scales;
  Packed(const void* base, const Layout& layout)
      : values((const int8_t*)base),
        starts((const int32_t*)(values + layout.value_bytes)),
        scales((const float*)(values + layout.value_bytes + layout.lane_bytes)) {}
};

// sum[r][v] += group g of one head. At the head's end n_bytes may be below 4: the queries are zeros there, but the
// stored rows may end there.
template <int kN, int kV>
inline __attribute__((always_inline)) void add_group(const int8_t* const* stored, int64_t g, int64_t n_bytes,
                                                     const int8_t* query, int64_t n_groups, __m512i (&sum)[kN][kV]) {
  const __m512i top_bits = _mm512_set1_epi8(int8_t(0x80));
  __m512i q[kV];
  for (int v = 0; v < kV; ++v) q[v] = _mm512_loadu_si512(query + (v * n_groups + g) * 64);
// Unless it unrolls early, g++ 12 keeps the sums in memory around the loop over groups and moves them about in it.
#pragma GCC unroll 8
  for (int r = 0; r < kN; ++r) {
    int32_t four = 0;
    memcpy(&four, stored[r] + g * 4, size_t(n_bytes));
    const __m512i x = _mm512_xor_si512(_mm512_set1_epi32(four), top_bits);
    for (int v = 0; v < kV; ++v) sum[r][v] = _mm512_dpbusd_epi32(sum[r][v], x, q[v]);
  }
}

// sum[r][v] = stored[r] . query vector v0 + v, of head h.
template <int kN, int kV>
inline __attribute__((always_inline)) void dot_head(const int8_t* const* stored, int64_t head_dim, const Layout& layout,
                                                    const Packed& packed, int64_t h, int64_t v0,
                                                    __m512i (&sum)[kN][kV]) {
  const int64_t vec = h * layout.n_vecs + v0, n_whole = head_dim / 4, tail = head_dim % 4;
  const int8_t* const query = packed.values + vec * layout.n_groups * 64;
#pragma GCC unroll 8
  for (int r = 0; r < kN; ++r) {
    for (int v = 0; v < kV; ++v) sum[r][v] = _mm512_loadu_si512(packed.starts + (vec + v) * kLanes);
  }
#pragma GCC unroll 2
  for (int64_t g = 0; g < n_whole; ++g) add_group<kN, kV>(stored, g, 4, query, layout.n_groups, sum);
  if (tail > 0) add_group<kN, kV>(stored, n_whole, tail, query, layout.n_groups, sum);
}

// The lanes of vector v that are queries.
inline __mmask16 query_lanes(int64_t n_query, int64_t v) {
  const int64_t n = n_query - v * kLanes;
  return n < kLanes ? __mmask16((1u << n) - 1) : __mmask16(0xffff);
}

// Rows [row0, row0 + kN) against query vectors [v0, v0 + kV).
template <int kN, int kV>
void score_block(const ScoreArgs& a, const Layout& layout, const Packed& packed, int64_t row0, int64_t v0,
                 float* scores) {
  __m512 total[kN][kV];
  for (int r = 0; r < kN; ++r) {
    for (int v = 0; v < kV; ++v) total[r][v] = _mm512_setzero_ps();
  }
  for (int64_t h = 0; h < a.n_heads; ++h) {
    const int64_t lanes_at = (h * layout.n_vecs + v0) * kLanes;
    const int8_t* stored[kN];
    for (int r = 0; r < kN; ++r) stored[r] = a.stored + ((row0 + r) * a.n_heads + h) * a.head_dim;
    __m512i sum[kN][kV];
    dot_head<kN, kV>(stored, a.head_dim, layout, packed, h, v0, sum);
    for (int v = 0; v < kV; ++v) {
      const __m512 query_scale = _mm512_loadu_ps(packed.scales + lanes_at + v * kLanes);
      for (int r = 0; r < kN; ++r) {
        const __m512 scale = _mm512_mul_ps(query_scale, _mm512_set1_ps(a.stored_scales[(row0 + r) * a.n_heads + h]));
        total[r][v] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][v]), scale, total[r][v]);
      }
    }
  }
  for (int r = 0; r < kN; ++r) {
    for (int v = 0; v < kV; ++v) {
      const __mmask16 queries = query_lanes(a.n_query, v0 + v);
      const float best = _mm512_mask_reduce_max_ps(queries, total[r][v]) / float(a.n_heads);
      if (best > scores[row0 + r]) scores[row0 + r] = best;
    }
  }
}

template <int kN>
void score_rows(const ScoreArgs& a, const Layout& layout, const Packed& packed, int64_t row0, float* scores) {
  int64_t v = 0;
  for (; v + 2 <= layout.n_vecs; v += 2) score_block<kN, 2>(a, layout, packed, row0, v, scores);
  if (v < layout.n_vecs) score_block<kN, 1>(a, layout, packed, row0, v, scores);
}

// Head h of kBestRows rows of a segment, row0 the first, against query vectors [v0, v0 + kV); best is the head's. The
// query's scale is >= 0, so the largest product with it is the product with the largest.
template <int kV>
void best_of_block(const ScoreArgs& a, const Layout& layout, const Packed& packed, int64_t h, int64_t row0, int64_t v0,
                   float* best) {
  const int8_t* stored[kBestRows];
  float scale[kBestRows];
  for (int r = 0; r < kBestRows; ++r) {
    // Past the segment's end it is the last row once more, which does not change the maximum.
    const int64_t at = (row0 + r < a.n_rows ? row0 + r : a.n_rows - 1) * a.n_heads + h;
    stored[r] = a.stored + at * a.head_dim;
    scale[r] = a.stored_scales[at];
    // The next block's: the rows are read head by head, in strides that the processor does not foresee.
    const char* const next = (const char*)a.stored + ((row0 + kBestRows + r) * a.n_heads + h) * a.head_dim;
    for (int64_t d = 0; d < a.head_dim; d += 64) _mm_prefetch(next + d, _MM_HINT_T0);
  }
  __m512i sum[kBestRows][kV];
  dot_head<kBestRows, kV>(stored, a.head_dim, layout, packed, h, v0, sum);
  for (int v = 0; v < kV; ++v) {
    __m512 largest = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[0][v]), _mm512_set1_ps(scale[0]));
    for (int r = 1; r < kBestRows; ++r) {
      const __m512 cosine = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r][v]), _mm512_set1_ps(scale[r]));
      largest = _mm512_max_ps(largest, cosine);
    }
    largest = _mm512_mul_ps(largest, _mm512_loadu_ps(packed.scales + (h * layout.n_vecs + v0 + v) * kLanes));
    const __mmask16 queries = query_lanes(a.n_query, v0 + v);
    float* const out = best + (v0 + v) * kLanes;
    if (row0 > 0) largest = _mm512_max_ps(largest, _mm512_maskz_loadu_ps(queries, out));
    _mm512_mask_storeu_ps(out, queries, largest);
  }
}

}  // namespace

namespace reform::cpu {

int64_t packed_query_bytes_avx512(int64_t n_query, int64_t n_heads, int64_t head_dim) {
  const Layout layout(n_query, n_heads, head_dim);
  return layout.value_bytes + 2 * layout.lane_bytes;
}

void pack_queries_avx512(const int8_t* values, const float* scales, int64_t n_query, int64_t n_heads, int64_t head_dim,
                         void* packed) {
  const Layout layout(n_query, n_heads, head_dim);
  memset(packed, 0, size_t(packed_query_bytes_avx512(n_query, n_heads, head_dim)));
  int8_t* const packed_values = (int8_t*)packed;
  int32_t* const starts = (int32_t*)(packed_values + layout.value_bytes);
  float* const packed_scales = (float*)(packed_values + layout.value_bytes + layout.lane_bytes);
  for (int64_t t = 0; t < n_query; ++t) {
    for (int64_t h = 0; h < n_heads; ++h) {
      const int64_t vec = h * layout.n_vecs + t / kLanes, lane = t % kLanes;
      int32_t sum = 0;
      for (int64_t d = 0; d < head_dim; ++d) {
        const int8_t value = values[(t * n_heads + h) * head_dim + d];
        packed_values[((vec * layout.n_groups + d / 4) * kLanes + lane) * 4 + d % 4] = value;
        sum += value;
      }
      starts[vec * kLanes + lane] = -128 * sum;
      packed_scales[vec * kLanes + lane] = scales[t * n_heads + h];
    }
  }
}

void score_avx512(const ScoreArgs& a, float* scores) {
  const Layout layout(a.n_query, a.n_heads, a.head_dim);
  const Packed packed(a.queries, layout);
  int64_t row = 0;
  for (; row + kRows <= a.n_rows; row += kRows) score_rows<kRows>(a, layout, packed, row, scores);
  for (; row < a.n_rows; ++row) score_rows<1>(a, layout, packed, row, scores);
}

void best_cosines_avx512(const ScoreArgs& a, int64_t stride, float* best) {
  const Layout layout(a.n_query, a.n_heads, a.head_dim);
  const Packed packed(a.queries, layout);
  for (int64_t row = 0; row < a.n_rows; row += kBestRows) {
    for (int64_t h = 0; h < a.n_heads; ++h) {
      int64_t v = 0;
      for (; v + 2 <= layout.n_vecs; v += 2) best_of_block<2>(a, layout, packed, h, row, v, best + h * stride);
      if (v < layout.n_vecs) best_of_block<1>(a, layout, packed, h, row, v, best + h * stride);
    }
  }
}

}  // namespace reform::cpu
