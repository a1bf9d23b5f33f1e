// INT8 scores on AVX2, eight queries to a vector. A lane is a query; two stored dimensions, widened to INT16, are
// broadcast to all lanes. (vpmaddubsw would be twice as fast but saturates at 2 * 255 * 127.)
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/score.h"

namespace {

using reform::cpu::ScoreArgs;

constexpr int64_t kLanes = 8;
constexpr int kRows = 3;        // x 2 vectors of queries: 6 sums and 6 totals in registers
constexpr int kBestRows = 4;    // x 2 vectors of queries: 8 sums in registers
constexpr int64_t kSpan = 256;  // dimensions widened at a time

// Packed queries: values INT16 [n_heads, n_vecs, n_groups, 8 lanes, 2 dimensions], then scales FP32
// [n_heads, n_vecs, 8]. Lanes and dimensions beyond the queries' are zeros.
struct Layout {
  int64_t n_vecs, n_groups, value_bytes, lane_bytes;
  Layout(int64_t n_query, int64_t n_heads, int64_t head_dim)
      : n_vecs((n_query + kLanes - 1) / kLanes),
        n_groups((head_dim + 1) / 2),
        value_bytes(n_heads * n_vecs * n_groups * 32),
        lane_bytes(n_heads * n_vecs * 32) {}
  const float* scales(const void* queries) const { return (const float*)((const char*)queries + value_bytes); }
};

void widen(const int8_t* x, int64_t n, int16_t* out) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    _mm256_storeu_si256((__m256i*)(out + i), _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)(x + i))));
  }
  for (; i < n; ++i) out[i] = x[i];
  if (n % 2 != 0) out[n] = 0;
}

inline float reduce_max(__m256 v) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}

// sum[r][v] += dimensions [d0, d0 + n) of one head.
template <int kN, int kV>
inline __attribute__((always_inline)) void add_span(const int8_t* const* stored, int64_t d0, int64_t n,
                                                    const int16_t* query, int64_t n_groups, __m256i (&sum)[kN][kV]) {
  int16_t wide[kN][kSpan];
  for (int r = 0; r < kN; ++r) widen(stored[r] + d0, n, wide[r]);
  for (int64_t g = 0; g < (n + 1) / 2; ++g) {
    __m256i q[kV];
    for (int v = 0; v < kV; ++v) {
      q[v] = _mm256_loadu_si256((const __m256i*)(query + (v * n_groups + d0 / 2 + g) * 2 * kLanes));
    }
    for (int r = 0; r < kN; ++r) {
      int32_t two;
      memcpy(&two, wide[r] + 2 * g, sizeof(two));
      const __m256i x = _mm256_set1_epi32(two);
      for (int v = 0; v < kV; ++v) sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(x, q[v]));
    }
  }
}

// sum[r][v] = stored[r] . query vector `vec` + v.
template <int kN, int kV>
inline __attribute__((always_inline)) void dot_head(const int8_t* const* stored, int64_t head_dim, const Layout& layout,
                                                    const void* queries, int64_t vec, __m256i (&sum)[kN][kV]) {
  const int16_t* const query = (const int16_t*)queries + vec * layout.n_groups * 2 * kLanes;
  for (int r = 0; r < kN; ++r) {
    for (int v = 0; v < kV; ++v) sum[r][v] = _mm256_setzero_si256();
  }
  for (int64_t d = 0; d < head_dim; d += kSpan) {
    add_span<kN, kV>(stored, d, head_dim - d < kSpan ? head_dim - d : kSpan, query, layout.n_groups, sum);
  }
}

// All bits of the lanes of vector v that are queries.
inline __m256i query_lanes(int64_t n_query, int64_t v) {
  const int64_t n = n_query - v * kLanes;
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(int(n < kLanes ? n : kLanes)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// Rows [row0, row0 + kN) against query vectors [v0, v0 + kV).
template <int kN, int kV>
void score_block(const ScoreArgs& a, const Layout& layout, int64_t row0, int64_t v0, float* scores) {
  const float* const scales = layout.scales(a.queries);
  __m256 total[kN][kV];
  for (int r = 0; r < kN; ++r) {
    for (int v = 0; v < kV; ++v) total[r][v] = _mm256_setzero_ps();
  }
  for (int64_t h = 0; h < a.n_heads; ++h) {
    const int64_t vec = h * layout.n_vecs + v0;
    const int8_t* stored[kN];
    for (int r = 0; r < kN; ++r) stored[r] = a.stored + ((row0 + r) * a.n_heads + h) * a.head_dim;
    __m256i sum[kN][kV];
    dot_head<kN, kV>(stored, a.head_dim, layout, a.queries, vec, sum);
    for (int v = 0; v < kV; ++v) {
      const __m256 query_scale = _mm256_loadu_ps(scales + (vec + v) * kLanes);
      for (int r = 0; r < kN; ++r) {
        const __m256 scale = _mm256_mul_ps(query_scale, _mm256_set1_ps(a.stored_scales[(row0 + r) * a.n_heads + h]));
        total[r][v] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r][v]), scale, total[r][v]);
      }
    }
  }
  for (int r = 0; r < kN; ++r) {
    for (int v = 0; v < kV; ++v) {
      const __m256i queries = query_lanes(a.n_query, v0 + v);
      const __m256 none = _mm256_set1_ps(-__builtin_inff());
      const float best =
          reduce_max(_mm256_blendv_ps(none, total[r][v], _mm256_castsi256_ps(queries))) / float(a.n_heads);
      if (best > scores[row0 + r]) scores[row0 + r] = best;
    }
  }
}

template <int kN>
void score_rows(const ScoreArgs& a, const Layout& layout, int64_t row0, float* scores) {
  int64_t v = 0;
  for (; v + 2 <= layout.n_vecs; v += 2) score_block<kN, 2>(a, layout, row0, v, scores);
  if (v < layout.n_vecs) score_block<kN, 1>(a, layout, row0, v, scores);
}

// Head h of kBestRows rows of a segment, row0 the first, against query vectors [v0, v0 + kV); best is the head's. The
// query's scale is >= 0, so the largest product with it is the product with the largest.
template <int kV>
void best_of_block(const ScoreArgs& a, const Layout& layout, int64_t h, int64_t row0, int64_t v0, float* best) {
  const int64_t vec = h * layout.n_vecs + v0;
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
  __m256i sum[kBestRows][kV];
  dot_head<kBestRows, kV>(stored, a.head_dim, layout, a.queries, vec, sum);
  for (int v = 0; v < kV; ++v) {
    __m256 largest = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[0][v]), _mm256_set1_ps(scale[0]));
    for (int r = 1; r < kBestRows; ++r) {
      const __m256 cosine = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[r][v]), _mm256_set1_ps(scale[r]));
      largest = _mm256_max_ps(largest, cosine);
    }
    largest = _mm256_mul_ps(largest, _mm256_loadu_ps(layout.scales(a.queries) + (vec + v) * kLanes));
    const __m256i queries = query_lanes(a.n_query, v0 + v);
    float* const out = best + (v0 + v) * kLanes;
    if (row0 > 0) largest = _mm256_max_ps(largest, _mm256_maskload_ps(out, queries));
    _mm256_maskstore_ps(out, queries, largest);
  }
}

}  // namespace

namespace reform::cpu {

int64_t packed_query_bytes_avx2(int64_t n_query, int64_t n_heads, int64_t head_dim) {
  const Layout layout(n_query, n_heads, head_dim);
  return layout.value_bytes + layout.lane_bytes;
}

void pack_queries_avx2(const int8_t* values, const float* scales, int64_t n_query, int64_t n_heads, int64_t head_dim,
                       void* packed) {
  const Layout layout(n_query, n_heads, head_dim);
  memset(packed, 0, size_t(packed_query_bytes_avx2(n_query, n_heads, head_dim)));
  int16_t* const packed_values = (int16_t*)packed;
  float* const packed_scales = (float*)((char*)packed + layout.value_bytes);
  for (int64_t t = 0; t < n_query; ++t) {
    for (int64_t h = 0; h < n_heads; ++h) {
      const int64_t vec = h * layout.n_vecs + t / kLanes, lane = t % kLanes;
      for (int64_t d = 0; d < head_dim; ++d) {
        packed_values[((vec * layout.n_groups + d / 2) * kLanes + lane) * 2 + d % 2] =
            values[(t * n_heads + h) * head_dim + d];
      }
      packed_scales[vec * kLanes + lane] = scales[t * n_heads + h];
    }
  }
}

void score_avx2(const ScoreArgs& a, float* scores) {
  const Layout layout(a.n_query, a.n_heads, a.head_dim);
  int64_t row = 0;
  for (; row + kRows <= a.n_rows; row += kRows) score_rows<kRows>(a, layout, row, scores);
  for (; row < a.n_rows; ++row) score_rows<1>(a, layout, row, scores);
}

void best_cosines_avx2(const ScoreArgs& a, int64_t stride, float* best) {
  const Layout layout(a.n_query, a.n_heads, a.head_dim);
  for (int64_t row = 0; row < a.n_rows; row += kBestRows) {
    for (int64_t h = 0; h < a.n_heads; ++h) {
      int64_t v = 0;
      for (; v + 2 <= layout.n_vecs; v += 2) best_of_block<2>(a, layout, h, row, v, best + h * stride);
      if (v < layout.n_vecs) best_of_block<1>(a, layout, h, row, v, best + h * stride);
    }
  }
}

}  // namespace reform::cpu
