// What lies below cpu::matmul, with raw pointers and sizes only. Each SIMD file is compiled for its own instruction set
// and must emit nothing that another file could link to, so no inline function or template with external linkage lives
// here.
#pragma once

#include <stdint.h>

#include "base/quant_type.h"

namespace reform::cpu {

// Elements of cols that are unpacked at a time. A panel of 32 rows then takes 64 KiB in FP32 or 24 KiB in INT8, and it
// is a whole number of every format's blocks.
constexpr int64_t kPanelCols = 512;

// A kernel for each type, or null: the type then takes the next slower path.
template <class Kernel>
struct PerType {
  Kernel of[int(QuantType::kCount)] = {};
};
// The code that unpacks the blocks of several types (quant_unit_*.h).
template <class... Codec>
struct CodecList {};

// --- FP32 panels: [n_cols, rows] floats, in the order in which the kernel reads them; rows past the matrix are zero.
// run: y[t, r] += sum_c x[t, c] * panel[c, r] for t < n_tokens (at most `tokens`), r < n_rows (at most `rows`).
struct FloatKernel {
  int rows;
  int tokens;
  void (*run)(const float* panel, int64_t n_cols, const float* x, int64_t x_stride, int n_tokens, int n_rows, float* y,
              int64_t y_stride);
};

// panel[c, r] = w[r, c]. Rows of w are row_bytes apart, n_cols <= kPanelCols, and panel_rows is a multiple of 8. Panel
// rows from n_rows on become zero.
using FillPanelFn = void (*)(const uint8_t* w, int64_t row_bytes, int n_rows, int64_t n_cols, int panel_rows,
                             float* panel);

extern const FloatKernel kFloatKernelPortable;
extern const FloatKernel kFloatKernelAvx2;
extern const FloatKernel kFloatKernelAvx512;

// --- INT8 panels. Weights keep their format's integers, scales and offsets (value = scale * q + offset). Activations
// are 16 bits in two INT8 planes, value = scale * (256 * high + low): one plane alone costs a small model 8 of 200 top
// tokens and up to 0.016 of its logits' cosine.
constexpr float kLargestActivation = 32639.0f;  // high in [-127, 127], low in [-128, 127]
constexpr float kTinyActivation = 1e-34f;       // a group below this counts as zero: its inverse would overflow
constexpr int64_t kGroupCols = 32;
constexpr int64_t kUnitCols = 256;
constexpr int kInt8Rows = 32;   // two vectors of 16 rows
constexpr int kInt8Tokens = 6;  // with 32 rows: 12 INT32 and 12 FP32 sums, 24 of the 32 vector registers
constexpr int64_t kPanelUnits = kPanelCols / kUnitCols;

// One group of the activations of kInt8Tokens tokens. A weight's offset multiplies the sums.
struct ActivationGroup {
  int8_t high[kGroupCols / 4][kInt8Tokens][4];
  int8_t low[kGroupCols / 4][kInt8Tokens][4];
  float scales[kInt8Tokens];
  float sums_16[2][kInt8Tokens];  // of each half of the group
  float sums_32[1][kInt8Tokens];
};

// 256 columns of the weights of kInt8Rows rows.
struct alignas(64) WeightUnit {
  uint8_t q[kUnitCols / 4][kInt8Rows][4];
  float scales[kUnitCols / 16][kInt8Rows];  // per 16 columns, also where a format has one per 32
  float offsets[kUnitCols / 16][kInt8Rows];
};

// Quantises n_tokens <= kInt8Tokens rows of x to ceil(n_cols / kGroupCols) groups; missing tokens and columns are zero.
// A group with a NaN or an infinity gets the scale NaN.
using PackTileFn = void (*)(const float* x, int64_t x_stride, int n_tokens, int64_t n_cols, ActivationGroup* out);
struct Int8Kernel {
  // Unpacks columns [0, n_cols) of n_rows <= kInt8Rows rows, n_cols <= kPanelCols, the rows row_bytes apart.
  void (*unpack)(const uint8_t* w, int64_t row_bytes, int n_rows, int64_t n_cols, WeightUnit* out);
  // y[t, r] += the panel's product.
  void (*run)(const WeightUnit* w, const ActivationGroup* x, int64_t n_groups, int n_tokens, int n_rows, float* y,
              int64_t y_stride);
};

void pack_tile_avx512(const float* x, int64_t x_stride, int n_tokens, int64_t n_cols, ActivationGroup* out);

// --- Matrix times a few vectors, directly on the stored blocks.
constexpr int kMaxMatVecTokens = 7;

// 256 activations of one token in two planes as above, with a scale per 16; columns past the row are zero.
struct alignas(64) ActivationUnit {
  int8_t high[kUnitCols];
  int8_t low[kUnitCols];
  float scales[kUnitCols / 16];
  float sums[kUnitCols / 16];  // scale * sum of the 16 values: a weight block's minimum multiplies it
};

using PackRowFn = void (*)(const float* x, int64_t n_cols, ActivationUnit* out);
// y[t, r] += sum_c x[t, c] * w[r, c] for n_tokens <= kMaxMatVecTokens, r < n_rows; the tokens are x_stride units apart.
using MatVecFn = void (*)(const uint8_t* w, int64_t row_bytes, int64_t n_rows, int64_t n_cols, const ActivationUnit* x,
                          int64_t x_stride, int n_tokens, float* y, int64_t y_stride);
// The same with float weights and activations; x_stride in elements.
using FloatMatVecFn = void (*)(const uint8_t* w, int64_t row_bytes, int64_t n_rows, int64_t n_cols, const float* x,
                               int64_t x_stride, int n_tokens, float* y, int64_t y_stride);

void pack_row_avx512(const float* x, int64_t n_cols, ActivationUnit* out);
void pack_row_avx2(const float* x, int64_t n_cols, ActivationUnit* out);

extern const PerType<FillPanelFn> kFillPanelAvx2;
extern const PerType<Int8Kernel> kInt8Avx512;
extern const PerType<MatVecFn> kMatVecAvx512;
extern const PerType<MatVecFn> kMatVecAvx2;
extern const PerType<FloatMatVecFn> kFloatMatVecAvx512;
extern const PerType<FloatMatVecFn> kFloatMatVecAvx2;

}  // namespace reform::cpu
