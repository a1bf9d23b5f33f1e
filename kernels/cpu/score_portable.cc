// INT8 scores in plain C++. The packed queries are the queries unchanged.
#include <string.h>

#include "kernels/cpu/score.h"

namespace reform::cpu {
namespace {

// Of head h of stored row i and query t.
int32_t dot(const ScoreArgs& a, int64_t i, int64_t t, int64_t h) {
  const int8_t* values = static_cast<const int8_t*>(a.queries) + a.n_query * a.n_heads * int64_t(sizeof(float));
  const int8_t* x = a.stored + (i * a.n_heads + h) * a.head_dim;
  const int8_t* y = values + (t * a.n_heads + h) * a.head_dim;
  int32_t sum = 0;
  for (int64_t d = 0; d < a.head_dim; ++d) sum += int32_t(x[d]) * int32_t(y[d]);
  return sum;
}

}  // namespace

int64_t packed_query_bytes_portable(int64_t n_query, int64_t n_heads, int64_t head_dim) {
  return n_query * n_heads * (int64_t(sizeof(float)) + head_dim);
}

void pack_queries_portable(const int8_t* values, const float* scales, int64_t n_query, int64_t n_heads,
                           int64_t head_dim, void* packed) {
  const int64_t scale_bytes = n_query * n_heads * int64_t(sizeof(float));
  memcpy(packed, scales, size_t(scale_bytes));
  memcpy(static_cast<char*>(packed) + scale_bytes, values, size_t(n_query * n_heads * head_dim));
}

void score_portable(const ScoreArgs& a, float* scores) {
  const float* query_scales = static_cast<const float*>(a.queries);
  for (int64_t i = 0; i < a.n_rows; ++i) {
    for (int64_t t = 0; t < a.n_query; ++t) {
      float sum = 0;
      for (int64_t h = 0; h < a.n_heads; ++h) {
        sum += a.stored_scales[i * a.n_heads + h] * query_scales[t * a.n_heads + h] * float(dot(a, i, t, h));
      }
      const float mean = sum / float(a.n_heads);
      if (mean > scores[i]) scores[i] = mean;
    }
  }
}

void best_cosines_portable(const ScoreArgs& a, int64_t stride, float* best) {
  const float* query_scales = static_cast<const float*>(a.queries);
  for (int64_t i = 0; i < a.n_rows; ++i) {
    for (int64_t h = 0; h < a.n_heads; ++h) {
      for (int64_t t = 0; t < a.n_query; ++t) {
        const float scale = a.stored_scales[i * a.n_heads + h] * query_scales[t * a.n_heads + h];
        const float cosine = scale * float(dot(a, i, t, h));
        float& largest = best[h * stride + t];
        if (i == 0 || cosine > largest) largest = cosine;
      }
    }
  }
}

}  // namespace reform::cpu
