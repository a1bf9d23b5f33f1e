// Attention by a matrix unit (AMX): it multiplies 16 x 32 by 32 x 16 BF16 values and adds to 16 x 16 sums in FP32.
//
// BF16 alone is too coarse: keys with large biases (Qwen2.5) make logits of hundreds. So an FP32 value x is a pair
// hi = bf16(x) and lo = bf16(x - hi), and a product is hi * hi + hi * lo + lo * hi. What is left out is at most 2^-16
// of a factor each for the rounding of lo, and 2^-16 of the product for lo * lo. An F16 value is such a pair exactly.
//
// Measured, one thread of two on a busy Sapphire Rapids at 2.6 GHz, 4,096 tokens against 8,192 slots of 64 dimensions:
// a bare loop of tdpbf16ps does 2,450 to 2,960 GFLOP/s and one of FP32 FMAs 159. Three products a value leave a limit
// of 820 to 990; attention does 277 (FP32: 93 to 95), the column sums 164 to 207 (FP32: 92 to 98). A block of 32 rows
// and a tile takes about 1.45 us: 0.6 of products, 0.55 of softmax, and the rest is the change from the one to the
// other.
//
// A tile's logits are computed as keys times queries: a vector is 16 query rows at one slot, so that maxima, sums and
// masks need no steps across a vector.
#pragma once

#include "kernels/cpu/cpu_kernels.h"

namespace reform::cpu {

constexpr int kMatrixRows = 96;           // query rows of a block
constexpr int64_t kPanelElems = 16 * 32;  // a panel fills one of the unit's registers

// Dimensions of queries and keys are padded with zeros to whole panels.
static constexpr int64_t matrix_dim(int64_t head_dim) { return (head_dim + 31) / 32 * 32; }

// Up to kMatrixRows query rows of one KV head against one tile.
struct MatrixBlock {
  int n_rows;
  int64_t head_dim;
  float scale;              // as in TileRows
  const uint16_t* queries;  // as pack_queries lays them out
  const uint16_t* keys;     // as pack_keys does
  int32_t first_slot;       // of the tile
  const int32_t* begin;     // [kMatrixRows] the cache's slots that a row sees: [begin, end)
  const int32_t* end;
  const float* bias;      // as in TileRows
  const void* next_tile;  // packed keys and values that attend will want next; column_sums does not need it
};

// What online softmax carries from tile to tile.
struct MatrixState {
  float* max;  // [kMatrixRows] as in SoftmaxState
  float* sum;  // [kMatrixRows]
  float* out;  // [kMatrixRows / 16, padded_dim, 16 rows] numerators
};

struct MatrixKernels {
  // Between these two the calling thread's registers have their shapes. The other kernels need that, but for the
  // packing.
  void (*configure)();
  void (*release)();
  // Layouts of panels. queries: [row / 32, hi/lo, matrix_dim / 32, row % 32 / 16]; keys: [hi/lo, matrix_dim / 32, slot
  // / 16]; values: [hi/lo, padded_dim / 16, slot / 32].
  void (*pack_queries)(const float* const* rows, int n_rows, int64_t head_dim, uint16_t* out);
  void (*pack_keys)(const PackArgs& args);
  void (*pack_values)(const PackArgs& args);
  void (*attend)(const MatrixBlock& block, const uint16_t* values, const MatrixState& state);
  // minus_lse and weight [kMatrixRows], 0 past the last row. sums [kTileSlots, 16] are added to: a slot's sum is that
  // of its 16 lanes.
  void (*column_sums)(const MatrixBlock& block, const float* minus_lse, const float* weight, float* sums);
};

extern const MatrixKernels kMatrixAmx;

// The parts of kMatrixAmx that are in another file.
void pack_queries_amx(const float* const* rows, int n_rows, int64_t head_dim, uint16_t* out);
void pack_keys_amx(const PackArgs& args);
void pack_values_amx(const PackArgs& args);

}  // namespace reform::cpu
