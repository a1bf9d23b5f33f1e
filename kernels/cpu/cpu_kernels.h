// The kernels below the ops: plain functions of pointers and sizes, one table per instruction set. Each is written once
// (*.inl.h) over the vector words of simd_*.h, except the scores (score_*.cc). No kernel allocates, uses threads, or
// checks its arguments.
#pragma once

#include <stdint.h>

namespace reform::cpu {

constexpr int64_t kTileSlots = 64;  // cache slots that are packed and attended together
constexpr int kMaxBlockRows = 6;    // query rows whose accumulators stay in registers
constexpr int kSumLanes = 16;       // a row's softmax denominator is kept per lane; >= the lanes of any Vec

// Values of a head are padded with zeros to whole vectors of the widest Vec.
static constexpr int64_t padded_dim(int64_t head_dim) { return (head_dim + 15) / 16 * 16; }

// A tile of one KV head's cache that is to be widened to FP32.
struct PackArgs {
  bool is_f16;
  const void* rows;  // [n_slots, head_dim], contiguous
  int64_t n_slots;   // <= kTileSlots; the rest of the tile becomes zeros
  int64_t head_dim;
  // Rotation of row s: cos and sin [n_slots, n_pairs]; n_pairs = 0: none. halves: pair i is (x[i], x[i + n_pairs]),
  // otherwise (x[2i], x[2i + 1]).
  const float* cos;
  const float* sin;
  int64_t n_pairs;
  bool halves;
  float* scratch;  // [16, padded_dim]
  float* out;      // keys: [head_dim, kTileSlots]; values: [kTileSlots, padded_dim]
};

// Up to kMaxBlockRows query rows of one KV head against one packed tile.
struct TileRows {
  int n_rows;
  int64_t head_dim;
  float scale;                    // of the logits, > 0, includes log2(e): everything is in powers of two
  const float* k_tile;            // [head_dim, kTileSlots]
  const float* q[kMaxBlockRows];  // [head_dim]
  int32_t begin[kMaxBlockRows];   // the tile's slots that the row sees: [begin, end) within [0, kTileSlots]
  int32_t end[kMaxBlockRows];
  const float* bias = nullptr;  // [kTileSlots] of the logits, divided by `scale` as it is without log2(e); null: none
};

// What online softmax (arXiv 1805.02867) carries from tile to tile, for the rows of a TileRows.
struct SoftmaxState {
  float* max;     // [n_rows] largest logit so far, in powers of two; starts at kNoLogit
  float* sum;     // [n_rows, kSumLanes] denominators relative to max, one per lane
  float* out;     // [n_rows, padded_dim] numerators
  float* logits;  // scratch [kMaxBlockRows, kTileSlots]
};
constexpr float kNoLogit = -3.0e38f;  // finite, so that a difference of two is never NaN

// A block of stored INT8 rows, and packed queries (score_*.cc).
struct ScoreArgs {
  const int8_t* stored;        // [n_rows, n_heads * head_dim]
  const float* stored_scales;  // [n_rows, n_heads]
  int64_t n_rows, n_heads, head_dim;
  const void* queries;  // as pack_queries lays them out
  int64_t n_query;
};

struct MatrixKernels;

struct CpuKernels {
  void (*rms_norm)(const float* x, const float* weight, int64_t n, float eps, float* out);
  void (*silu_gate)(float* gate, const float* up, int64_t n);
  void (*gelu_gate)(float* gate, const float* up, int64_t n);
  void (*add)(float* x, const float* y, int64_t n);
  void (*scale)(float* x, float factor, int64_t n);
  // One head in place; cos and sin [n_pairs].
  void (*rotate)(float* x, const float* cos, const float* sin, int64_t n_pairs, bool halves);
  void (*to_f16)(const float* x, int64_t n, uint16_t* out);  // saturating
  // Returns the scale; centre may be null.
  float (*normalise_quantise)(const float* x, const float* centre, int64_t n, int8_t* out);

  void (*pack_keys)(const PackArgs& args);
  void (*pack_values)(const PackArgs& args);
  void (*attend)(const TileRows& rows, const float* v_tile, const SoftmaxState& state);
  // sums[slot] += sum over rows of weight * 2^(logit + minus_lse); in powers of two.
  void (*column_sums)(const TileRows& rows, const float* minus_lse, const float* weight, float* sums);

  int64_t (*packed_query_bytes)(int64_t n_query, int64_t n_heads, int64_t head_dim);
  void (*pack_queries)(const int8_t* values, const float* scales, int64_t n_query, int64_t n_heads, int64_t head_dim,
                       void* packed);
  void (*score)(const ScoreArgs& args, float* scores);  // [n_rows]; raised to the block's maximum
  // The rows are one segment. best [n_heads, n_query], whose rows lie `stride` apart.
  void (*best_cosines)(const ScoreArgs& segment, int64_t stride, float* best);

  const MatrixKernels* matrix = nullptr;  // instead of attend, for many rows, and of column_sums (matrix_kernels.h)
};

const CpuKernels& kernels_portable();
const CpuKernels& kernels_avx2();
const CpuKernels& kernels_avx512();

}  // namespace reform::cpu
