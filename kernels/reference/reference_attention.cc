#include "kernels/reference/reference_attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/float16.h"

namespace reform::reference {
namespace {

// One KV head of a cache, widened: keys and values [kv_len, head_dim], with keys rotated as the call asks.
struct Head {
  std::vector<double> k, v;
};

double cached(const KvView& kv, const void* base, int64_t head, int64_t slot, int64_t d) {
  const int64_t i = (head * kv.capacity + slot) * kv.head_dim + d;
  return kv.type == KvView::Type::kF32 ? double(static_cast<const float*>(base)[i])
                                       : double(f16_to_f32(static_cast<const uint16_t*>(base)[i]));
}

Head read_head(const AttentionArgs& args, int64_t kv_head) {
  const KvView& kv = args.kv;
  Head head;
  head.k.resize(size_t(kv.kv_len * kv.head_dim));
  head.v.resize(size_t(kv.kv_len * kv.head_dim));
  for (int64_t slot = 0; slot < kv.kv_len; ++slot) {
    for (int64_t d = 0; d < kv.head_dim; ++d) {
      head.k[size_t(slot * kv.head_dim + d)] = cached(kv, kv.k, kv_head, slot, d);
      head.v[size_t(slot * kv.head_dim + d)] = cached(kv, kv.v, kv_head, slot, d);
    }
    if (args.key_rope != nullptr) {
      rotate(*args.key_rope, slot, {head.k.data() + slot * kv.head_dim, size_t(kv.head_dim)});
    }
  }
  return head;
}

// The slots that row t sees: [begin, end).
struct Visible {
  int64_t begin, end;
};

Visible visible(const AttentionArgs& args, int64_t t) {
  const int64_t end = args.kv.kv_len - args.q.rows + t + 1;
  return {args.window > 0 ? std::max<int64_t>(0, end - args.window) : 0, end};
}

double slot_bias(const AttentionArgs& args, int64_t kv_head, int64_t slot) {
  const MatView<const float>& bias = args.slot_bias;
  if (bias.data == nullptr || slot >= bias.cols) return 0;
  return double(bias.row(bias.rows == 1 ? 0 : kv_head)[slot]);
}

double logit(const AttentionArgs& args, const Head& head, int64_t h, int64_t t, int64_t slot) {
  const int64_t head_dim = args.kv.head_dim, group = args.q.cols / head_dim / args.kv.n_kv_heads;
  double sum = 0;
  for (int64_t d = 0; d < head_dim; ++d) {
    sum += double(args.q.row(t)[h * head_dim + d]) * head.k[size_t(slot * head_dim + d)];
  }
  return double(args.scale) * sum + slot_bias(args, h / group, slot);
}

}  // namespace

void rotate(const Rope& rope, int64_t slot, std::span<double> x) {
  const size_t n_pairs = rope.inv_freq.size();
  for (size_t i = 0; i < n_pairs; ++i) {
    const bool halves = rope.pairing == Rope::Pairing::kHalves;
    double& a = x[halves ? i : 2 * i];
    double& b = x[halves ? i + n_pairs : 2 * i + 1];
    const double angle = double(slot) * double(rope.inv_freq[i]);
    const double c = std::cos(angle) * double(rope.magnitude), s = std::sin(angle) * double(rope.magnitude);
    const double rotated_a = a * c - b * s, rotated_b = a * s + b * c;
    a = rotated_a;
    b = rotated_b;
  }
}

void attention(const AttentionArgs& args, MatView<float> out, MatView<float> lse) {
  const int64_t head_dim = args.kv.head_dim, n_heads = args.q.cols / head_dim;
  const int64_t group = n_heads / args.kv.n_kv_heads;
  std::vector<double> p(size_t(args.kv.kv_len)), sum(static_cast<size_t>(head_dim));
  for (int64_t h = 0; h < n_heads; ++h) {
    const Head head = read_head(args, h / group);
    for (int64_t t = 0; t < args.q.rows; ++t) {
      const Visible slots = visible(args, t);
      double max = -INFINITY, denominator = 0;
      for (int64_t s = slots.begin; s < slots.end; ++s) max = std::max(max, p[size_t(s)] = logit(args, head, h, t, s));
      std::fill(sum.begin(), sum.end(), 0.0);
      for (int64_t s = slots.begin; s < slots.end; ++s) {
        const double weight = std::exp(p[size_t(s)] - max);
        denominator += weight;
        for (int64_t d = 0; d < head_dim; ++d) sum[size_t(d)] += weight * head.v[size_t(s * head_dim + d)];
      }
      for (int64_t d = 0; d < head_dim; ++d) out.row(t)[h * head_dim + d] = float(sum[size_t(d)] / denominator);
      if (lse.data != nullptr) lse.row(h)[t] = float(max + std::log(denominator));
    }
  }
}

void attention_column_sums(const AttentionArgs& args, MatView<const float> lse, std::span<const int32_t> query_rows,
                           std::span<const float> query_weights, std::span<float> column_sums) {
  const int64_t n_heads = args.q.cols / args.kv.head_dim, group = n_heads / args.kv.n_kv_heads;
  std::vector<double> sums(size_t(args.kv.kv_len));
  for (int64_t h = 0; h < n_heads; ++h) {
    const Head head = read_head(args, h / group);
    for (size_t i = 0; i < query_rows.size(); ++i) {
      const int64_t t = query_rows[i];
      const Visible slots = visible(args, t);
      for (int64_t s = slots.begin; s < slots.end; ++s) {
        const double p = std::exp(logit(args, head, h, t, s) - double(lse.row(h)[t]));
        sums[size_t(s)] += double(query_weights[i]) * p;
      }
    }
  }
  for (size_t s = 0; s < sums.size(); ++s) column_sums[s] += float(sums[s] / double(n_heads));
}

}  // namespace reform::reference
