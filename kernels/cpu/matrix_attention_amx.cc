// Attention and column sums by the matrix unit, over packed panels (matrix_kernels.h).
//
// A row is a column of every product, and its sums are added up in one order. So its result depends on its own tiles
// and never on the rows that share its block.
#include "kernels/cpu/matrix_kernels.h"
#include "kernels/cpu/simd_avx512.h"

namespace {

using namespace reform::cpu;

// The compilers' intrinsics do not all say that they read or write memory.
inline void memory_barrier() { asm volatile("" ::: "memory"); }

// All eight registers are of 16 rows of 64 bytes.
struct alignas(64) Shapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

void configure() {
  static constexpr Shapes kShapes;
  _tile_loadconfig(&kShapes);
}

void release() { _tile_release(); }

// Panels of one side of a product. Strides in elements.
struct Side {
  const uint16_t* hi;
  int64_t to_lo;  // from hi to lo
  int64_t step;   // along the summed dimension
  int64_t next;   // to the neighbour across it
  int64_t row_bytes = 64;
};

// Sums of products, [16, 16] for each pair of a left and a right panel. Strides in elements.
struct Sums {
  float* at;
  int64_t next_left, next_right;
};
constexpr int64_t kPanelSums = 16 * 16;

template <int kCount>
inline void load_left(const Side& side, const uint16_t* panel) {
  _tile_loadd(4, panel, side.row_bytes);
  if constexpr (kCount == 2) _tile_loadd(5, panel + side.next, side.row_bytes);
}

template <int kCount>
inline void load_right(const Side& side, const uint16_t* panel) {
  _tile_loadd(6, panel, side.row_bytes);
  if constexpr (kCount == 2) _tile_loadd(7, panel + side.next, side.row_bytes);
}

template <int kLeft, int kRight>
inline void add_products() {
  _tile_dpbf16ps(0, 4, 6);
  if constexpr (kRight == 2) _tile_dpbf16ps(1, 4, 7);
  if constexpr (kLeft == 2) _tile_dpbf16ps(2, 5, 6);
  if constexpr (kLeft == 2 && kRight == 2) _tile_dpbf16ps(3, 5, 7);
}

// sums (+)= left . right, for kLeft x kRight panels.
template <int kLeft, int kRight>
void multiply(const Side& left, const Side& right, int64_t n_steps, bool add, const Sums& sums) {
  float *const next = sums.at + sums.next_left, *const last = next + sums.next_right;
  memory_barrier();
  if (add) {
    _tile_loadd(0, sums.at, 64);
    if constexpr (kRight == 2) _tile_loadd(1, sums.at + sums.next_right, 64);
    if constexpr (kLeft == 2) _tile_loadd(2, next, 64);
    if constexpr (kLeft == 2 && kRight == 2) _tile_loadd(3, last, 64);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t i = 0; i < n_steps; ++i) {
    const uint16_t *const l = left.hi + i * left.step, *const r = right.hi + i * right.step;
    load_left<kLeft>(left, l);
    load_right<kRight>(right, r + right.to_lo);
    add_products<kLeft, kRight>();
    load_right<kRight>(right, r);
    add_products<kLeft, kRight>();
    load_left<kLeft>(left, l + left.to_lo);
    add_products<kLeft, kRight>();
  }
  _tile_stored(0, sums.at, 64);
  if constexpr (kRight == 2) _tile_stored(1, sums.at + sums.next_right, 64);
  if constexpr (kLeft == 2) _tile_stored(2, next, 64);
  if constexpr (kLeft == 2 && kRight == 2) _tile_stored(3, last, 64);
  memory_barrier();
}

// After some 300 ns of rest the unit takes 280 ns to wake, in which the rest of the core is slowed down, too (measured:
// Sapphire Rapids). A product now and then, of any registers, costs 20 ns.
inline void keep_awake() { _tile_dpbf16ps(0, 4, 6); }

// Rows go by pairs of panels, so that a pair's logits, its numerators and the tile stay in the L1 cache. Its logits,
// and the probabilities that replace them: [row / 16, slot, row % 16].
constexpr int kPairRows = 32;
constexpr int64_t kPanelLogits = kTileSlots * 16;

int panels_of_pair(const MatrixBlock& block, int row) { return block.n_rows - row > 16 ? 2 : 1; }

void fill_logits(const MatrixBlock& block, int row, float* logits) {
  const int64_t n_steps = matrix_dim(block.head_dim) / 32;
  const uint16_t* const packed = block.queries + row / kPairRows * n_steps * 4 * kPanelElems;
  const Side queries = {packed, n_steps * 2 * kPanelElems, 2 * kPanelElems, kPanelElems};
  for (int64_t panel = 0; panel < kTileSlots / 16; panel += 2) {
    const Side keys = {block.keys + panel * kPanelElems, n_steps * 4 * kPanelElems, 4 * kPanelElems, kPanelElems};
    const Sums sums = {logits + panel * kPanelSums, kPanelSums, kPanelLogits};
    (panels_of_pair(block, row) == 2 ? multiply<2, 2> : multiply<2, 1>)(keys, queries, n_steps, false, sums);
  }
}

// Which of 16 rows see a slot of the tile.
class Sight {
 public:
  Sight(const MatrixBlock& block, int row)
      : begin_(_mm512_loadu_si512(block.begin + row)),
        end_(_mm512_loadu_si512(block.end + row)),
        first_(block.first_slot) {}
  bool is_whole() const { return sees(0) == 0xffff && sees(kTileSlots - 1) == 0xffff; }
  Vec keep(Vec x, int64_t slot, Vec other) const { return _mm512_mask_mov_ps(other, sees(slot), x); }

 private:
  __mmask16 sees(int64_t slot) const {
    const __m512i s = _mm512_set1_epi32(first_ + int32_t(slot));
    return _mm512_cmple_epi32_mask(begin_, s) & _mm512_cmpgt_epi32_mask(end_, s);
  }

  __m512i begin_, end_;
  int32_t first_;
};

// A masked logit: it is never the largest, and 2 to its power is exactly zero.
constexpr float kMasked = -__builtin_inff();

// Applies biases and masks to the logits of 16 rows, and returns the largest ones.
Vec finish_logits(const MatrixBlock& block, int row, float* logits) {
  Vec top[4] = {set1(kMasked), set1(kMasked), set1(kMasked), set1(kMasked)};
  const Sight sight(block, row);
  const bool masked = !sight.is_whole();
  if (masked || block.bias != nullptr) {
    for (int64_t s = 0; s < kTileSlots; ++s) {
      Vec x = load(logits + s * 16);
      if (block.bias != nullptr) x = x + set1(block.bias[s]);
      if (masked) x = sight.keep(x, s, set1(kMasked));
      store(logits + s * 16, x);
      top[s % 4] = max(x, top[s % 4]);
    }
  } else {
    for (int64_t s = 0; s < kTileSlots; s += 4) {
      for (int i = 0; i < 4; ++i) top[i] = max(load(logits + (s + i) * 16), top[i]);
    }
  }
  return max(max(top[0], top[1]), max(top[2], top[3]));
}

// Word by word: the upper halves of a and b, as a pair of BF16.
inline __m512i upper_halves(__m512i a, __m512i b) {
  return _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(a, 16), b);
}

// Replaces two slots' logits by their probabilities, as rows of right panels: first hi, rounded to nearest, then lo,
// cut.
inline void store_probabilities(Vec a, Vec b, float* out) {
  const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32(int32_t(0xffff0000));
  const __m512i ra = _mm512_add_epi32(_mm512_castps_si512(a), half),
                rb = _mm512_add_epi32(_mm512_castps_si512(b), half);
  const Vec la = a - _mm512_castsi512_ps(_mm512_and_si512(ra, upper));
  const Vec lb = b - _mm512_castsi512_ps(_mm512_and_si512(rb, upper));
  _mm512_storeu_si512(out, upper_halves(ra, rb));
  _mm512_storeu_si512(out + 16, upper_halves(_mm512_castps_si512(la), _mm512_castps_si512(lb)));
}

// Fetches the next tile to the L2 cache, a part for each two slots of 16 rows: a head's tiles do not all stay there,
// and the unit would wait for them.
class NextTile {
 public:
  NextTile(const MatrixBlock& block, int row) {
    const int64_t n_parts = (block.n_rows + 15) / 16 * (kTileSlots / 2);
    const int64_t n_lines = (matrix_dim(block.head_dim) + padded_dim(block.head_dim)) * kTileSlots / 16;
    part_lines_ = (n_lines + n_parts - 1) / n_parts;
    at_ = (const char*)block.next_tile + row / 16 * (kTileSlots / 2) * part_lines_ * 64;
  }
  void fetch_part() {
    for (int64_t i = 0; i < part_lines_; ++i, at_ += 64) _mm_prefetch(at_, _MM_HINT_T1);
  }

 private:
  int64_t part_lines_;
  const char* at_;
};

// The tile's step of online softmax, for 16 rows from `row` on.
void add_softmax(const MatrixBlock& block, int row, float* logits, const MatrixState& state) {
  const Vec old = load(state.max + row), scale = set1(block.scale);
  const Vec now = max(finish_logits(block, row, logits) * scale, old), minus_now = zero() - now;
  const Vec factor = exp2(old - now);
  NextTile next(block, row);
  Vec total[2] = {zero(), zero()};
  for (int64_t s = 0; s < kTileSlots; s += 2) {
    const Vec a = exp2(fma(load(logits + s * 16), scale, minus_now));
    const Vec b = exp2(fma(load(logits + (s + 1) * 16), scale, minus_now));
    total[0] = total[0] + a;
    total[1] = total[1] + b;
    store_probabilities(a, b, logits + s * 16);
    next.fetch_part();
  }
  store(state.max + row, now);
  store(state.sum + row, fma(load(state.sum + row), factor, total[0] + total[1]));
  // Most tiles raise no maximum. A factor of 1 changes nothing, so leaving it out does not either.
  if (_mm512_cmpneq_ps_mask(factor, set1(1.0f)) == 0) return;
  const int64_t padded = padded_dim(block.head_dim);
  float* const out = state.out + row * padded;
  for (int64_t d = 0; d < padded; ++d) store(out + d * 16, load(out + d * 16) * factor);
}

// out += probabilities . values, for a pair of panels.
void add_values(const MatrixBlock& block, int row, const float* probabilities, const uint16_t* values, float* out) {
  const int64_t padded = padded_dim(block.head_dim), n_panels = padded / 16;
  const bool two = panels_of_pair(block, row) == 2;
  const Side weights = {(const uint16_t*)probabilities, 32, 2 * kPanelElems, 2 * kPanelLogits, 128};
  for (int64_t panel = 0; panel < n_panels; panel += 2) {
    const Side v = {values + panel * 2 * kPanelElems, n_panels * 2 * kPanelElems, kPanelElems, 2 * kPanelElems};
    const Sums sums = {out + panel * kPanelSums, kPanelSums, padded * 16};
    if (panel + 1 < n_panels) {
      (two ? multiply<2, 2> : multiply<2, 1>)(v, weights, 2, true, sums);
    } else {
      (two ? multiply<1, 2> : multiply<1, 1>)(v, weights, 2, true, sums);
    }
  }
}

void attend(const MatrixBlock& block, const uint16_t* values, const MatrixState& state) {
  alignas(64) float logits[2 * kPanelLogits];
  for (int row = 0; row < block.n_rows; row += kPairRows) {
    fill_logits(block, row, logits);
    for (int i = 0; i < panels_of_pair(block, row); ++i) {
      keep_awake();
      add_softmax(block, row + i * 16, logits + i * kPanelLogits, state);
    }
    add_values(block, row, logits, values, state.out + row * padded_dim(block.head_dim));
  }
}

void column_sums(const MatrixBlock& block, const float* minus_lse, const float* weight, float* sums) {
  alignas(64) float logits[2 * kPanelLogits];
  const Vec scale = set1(block.scale);
  for (int row = 0; row < block.n_rows; row += 16) {
    float* const x = logits + row % kPairRows / 16 * kPanelLogits;
    if (row % kPairRows == 0) fill_logits(block, row, logits);
    keep_awake();
    const Sight sight(block, row);
    const Vec minus = load(minus_lse + row), w = load(weight + row);
    if (sight.is_whole() && block.bias == nullptr) {
      for (int64_t s = 0; s < kTileSlots; ++s) {
        store(sums + s * 16, fma(exp2(fma(load(x + s * 16), scale, minus)), w, load(sums + s * 16)));
      }
      continue;
    }
    for (int64_t s = 0; s < kTileSlots; ++s) {
      Vec logit = load(x + s * 16);
      if (block.bias != nullptr) logit = logit + set1(block.bias[s]);
      const Vec p = sight.keep(exp2(fma(logit, scale, minus)), s, zero());
      store(sums + s * 16, fma(p, w, load(sums + s * 16)));
    }
  }
}

}  // namespace

namespace reform::cpu {

extern const MatrixKernels kMatrixAmx = {configure,       release, pack_queries_amx, pack_keys_amx,
                                         pack_values_amx, attend,  column_sums};

}  // namespace reform::cpu
