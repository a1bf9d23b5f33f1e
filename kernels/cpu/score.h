// Scores of stored INT8 rows against packed queries, per instruction set. Every n_query, n_heads and head_dim is fine;
// a head of up to 2^17 dimensions cannot overflow the INT32 sums.
#pragma once

#include "kernels/cpu/cpu_kernels.h"

namespace reform::cpu {

int64_t packed_query_bytes_portable(int64_t n_query, int64_t n_heads, int64_t head_dim);
void pack_queries_portable(const int8_t* values, const float* scales, int64_t n_query, int64_t n_heads,
                           int64_t head_dim, void* packed);
void score_portable(const ScoreArgs& args, float* scores);
void best_cosines_portable(const ScoreArgs& segment, int64_t stride, float* best);

int64_t packed_query_bytes_avx2(int64_t n_query, int64_t n_heads, int64_t head_dim);
void pack_queries_avx2(const int8_t* values, const float* scales, int64_t n_query, int64_t n_heads, int64_t head_dim,
                       void* packed);
void score_avx2(const ScoreArgs& args, float* scores);
void best_cosines_avx2(const ScoreArgs& segment, int64_t stride, float* best);

int64_t packed_query_bytes_avx512(int64_t n_query, int64_t n_heads, int64_t head_dim);
void pack_queries_avx512(const int8_t* values, const float* scales, int64_t n_query, int64_t n_heads, int64_t head_dim,
                         void* packed);
void score_avx512(const ScoreArgs& args, float* scores);
void best_cosines_avx512(const ScoreArgs& segment, int64_t stride, float* best);

}  // namespace reform::cpu
