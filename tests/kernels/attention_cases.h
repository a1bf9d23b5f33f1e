// What the tests of attention share: shapes, problems made of them, outcomes and their tolerances.
#pragma once

#include <algorithm>

#include "base/float16.h"
#include "tests/kernels/op_fixture.h"
#include "tests/support/compare.h"

namespace reform::test {

struct Shape {
  int64_t n_tokens, kv_len, n_heads, n_kv_heads, head_dim;
  int64_t window = 0;
  int64_t n_pairs = 0;  // > 0: cached keys are not rotated
  Rope::Pairing pairing = Rope::Pairing::kHalves;
  KvView::Type type = KvView::Type::kF16;
  int64_t outlier_dims = 0;
};

constexpr auto kAdjacent = Rope::Pairing::kAdjacent;
constexpr auto kHalves = Rope::Pairing::kHalves;
constexpr auto kF32 = KvView::Type::kF32;
constexpr auto kF16 = KvView::Type::kF16;

// Lengths around the tile (64 slots), the row block (6) and the task (96 rows); every way through the code.
inline const Shape kShapes[] = {
    {1, 1, 1, 1, 8},
    {1, 63, 4, 1, 24},
    {1, 64, 9, 3, 64},
    {1, 65, 14, 2, 80, 0, 0, kHalves, kF32},
    {1, 1100, 14, 2, 64, 0, 0, kHalves, kF16, 3},
    {2, 129, 7, 7, 96, 50},
    {3, 3, 6, 2, 256},
    {7, 700, 12, 2, 128, 65},
    {7, 71, 2, 1, 10, 0, 5},
    {17, 530, 14, 2, 64, 0, 32, kHalves, kF16, 4},
    {17, 40, 5, 5, 40, 1, 13, kAdjacent, kF32},
    {65, 65, 9, 3, 64, 0, 32, kAdjacent},
    {65, 191, 4, 1, 256, 33, 128},
    {65, 257, 3, 1, 96, 1000, 24, kHalves, kF32},
    {98, 128, 1, 1, 17, 31, 8, kAdjacent},
    {193, 321, 4, 2, 80, 0, 0, kHalves, kF16, 2},
    {150, 150, 2, 2, 128, 64, 64, kHalves, kF32, 3},
};

struct Problem {
  Shape shape;
  std::vector<float> inv_freq;
  Rope rope;
  Cache cache;
  Guarded q;
  AttentionArgs args;
  double largest_bias = 0;

  Problem(const Shape& s, uint32_t seed)
      : shape(s),
        inv_freq(inverse_frequencies(s.n_pairs, 10000.0)),
        rope{s.pairing, inv_freq, 1.25f},
        cache(s.type, s.n_kv_heads, s.head_dim, s.kv_len),
        q(s.n_tokens, s.n_heads * s.head_dim) {
    Random random(seed);
    cache.fill(random, s.outlier_dims);
    q = Guarded(s.n_tokens, s.n_heads * s.head_dim, random);
    args = {q.view(), cache.view(), s.n_pairs > 0 ? &rope : nullptr, float(1.0 / std::sqrt(double(s.head_dim))),
            s.window};
  }
  Problem(const Problem&) = delete;

  OpLimits limits() const {
    return {shape.n_tokens, 64, shape.kv_len + 20, shape.n_heads, shape.n_kv_heads, shape.head_dim};
  }
  // The largest |q| |k| scale over all queries and keys. No sum of |q_d k_d| scale exceeds it.
  double largest_product() const {
    const KvView& kv = cache.view();
    double q_max = 0, k_max = 0;
    for (int64_t t = 0; t < shape.n_tokens; ++t) {
      for (int64_t h = 0; h < shape.n_heads; ++h) q_max = std::max(q_max, norm(args.q.row(t) + h * shape.head_dim));
    }
    std::vector<float> key(static_cast<size_t>(shape.head_dim));
    for (int64_t h = 0; h < shape.n_kv_heads; ++h) {
      for (int64_t s = 0; s < kv.kv_len; ++s) {
        for (int64_t d = 0; d < kv.head_dim; ++d) {
          const int64_t i = (h * kv.capacity + s) * kv.head_dim + d;
          key[size_t(d)] =
              kv.type == kF32 ? static_cast<const float*>(kv.k)[i] : f16_to_f32(static_cast<const uint16_t*>(kv.k)[i]);
        }
        k_max = std::max(k_max, norm(key.data()));
      }
    }
    return q_max * k_max * double(args.scale) * (shape.n_pairs > 0 ? double(rope.magnitude) : 1.0);
  }
  // A logit is a sum of head_dim FP32 products and a bias whose magnitudes add up to at most P. The ceiling of its
  // error is head_dim * 2^-24 * P, plus the rounding of rotated keys (3 * 2^-24 * P). The errors of that many terms do
  // not all have one sign: a quarter.
  double logit_error() const { return double(shape.head_dim + 12) / 4 * 0x1p-24 * (largest_product() + largest_bias); }
  // With pairs of BF16 (matrix_kernels.h): 2^-16 of each product for either factor's rounding and for the product of
  // the low parts, which is left out. That is the ceiling, and these roundings are seldom near it: a sixth. The signs
  // are independent, unless a few products are the whole sum.
  double logit_error(Isa isa) const {
    if (isa != Isa::kAmx) return logit_error();
    const double per_product = shape.outlier_dims > 0 ? 0.5 : 2 / std::sqrt(double(shape.head_dim));
    return logit_error() + largest_product() * 0x1p-16 * per_product;
  }
  // With Q and rotated K rounded to F16: 2^-11 of each product. The signs are independent, unless a few products are
  // the whole sum.
  double half_logit_error() const {
    return largest_product() * 0x1p-11 * (shape.outlier_dims > 0 ? 1 : 4 / std::sqrt(double(shape.head_dim)));
  }

 private:
  double norm(const float* x) const {
    double sum = 0;
    for (int64_t d = 0; d < shape.head_dim; ++d) sum += double(x[d]) * double(x[d]);
    return std::sqrt(sum);
  }
};

struct Outcome {
  std::vector<float> out, lse;
  bool guards_hold = true;
};

inline Outcome attend(Ops& ops, const Problem& p, const AttentionArgs& args) {
  Guarded out(p.shape.n_tokens, p.shape.n_heads * p.shape.head_dim);
  Guarded lse(p.shape.n_heads, p.shape.n_tokens);
  ops.attention(args, out.view(), lse.view());
  Outcome o;
  o.out = out.dense();
  o.lse = lse.dense();
  o.guards_hold = out.guards_hold() && lse.guards_hold();
  return o;
}

// Probabilities are off by at most twice the logits' error, exp2 by 2e-7, and the sums over kv_len slots by 2^-24 a
// term. Values are normal variates, below 5.5 here.
// Pairs of BF16 round a probability and a value by 2^-15 and 2^-16, and leave out 2^-16 of their product: half of that.
inline Tolerance output_tolerance(const Problem& p, Isa isa) {
  const double of_pairs = isa == Isa::kAmx ? 0x1p-15 : 0;
  return {5.5 * (2 * p.logit_error(isa) + 1e-6 + of_pairs + double(p.shape.kv_len) / 4 * 0x1p-24), 0};
}

}  // namespace reform::test
