// Every op by its definition: scalar, one thread, sums in double, one rounding to the output. It is never optimised, as
// tests compare the SIMD kernels with it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/float16.h"
#include "kernels/ops.h"
#include "kernels/reference/reference_attention.h"
#include "kernels/reference/reference_slots.h"

namespace reform {
namespace {

constexpr double kMaxF16 = 65504.0;

double activate(Activation act, double x) {
  if (act == Activation::kSilu) return x / (1.0 + std::exp(-x));
  // GELU in its tanh form: arXiv 1606.08415, section 2.
  return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
}

// F16 would store a value beyond its range as infinity, and one infinite key spoils a whole row of attention.
uint16_t saturated_f16(float x) {
  return std::isnan(x) ? f32_to_f16(x) : f32_to_f16(float(std::clamp(double(x), -kMaxF16, kMaxF16)));
}

void store_element(const KvView& kv, void* base, int64_t i, float value) {
  if (kv.type == KvView::Type::kF32) {
    static_cast<float*>(base)[i] = value;
  } else {
    static_cast<uint16_t*>(base)[i] = saturated_f16(value);
  }
}

void move_element(const KvView& kv, void* base, int64_t from, int64_t to) {
  if (kv.type == KvView::Type::kF32) {
    static_cast<float*>(base)[to] = static_cast<float*>(base)[from];
  } else {
    static_cast<uint16_t*>(base)[to] = static_cast<uint16_t*>(base)[from];
  }
}

class ReferenceOps final : public Ops {
 public:
  const char* name() const override { return "ref"; }

  void embed(const Weight& table, HostSpan<const int32_t> ids, float scale, MatView<float> out) override {
    for (size_t t = 0; t < ids.size(); ++t) {
      float* row = out.row(int64_t(t));
      dequantise_row(table, ids[t], row);
      for (int64_t c = 0; c < table.cols; ++c) row[c] *= scale;
    }
  }

  // RMSNorm: arXiv 1910.07467, equation 4.
  void rms_norm(MatView<const float> x, std::span<const float> weight, float eps, MatView<float> out) override {
    for (int64_t r = 0; r < x.rows; ++r) {
      double squares = 0;
      for (int64_t c = 0; c < x.cols; ++c) squares += double(x.row(r)[c]) * double(x.row(r)[c]);
      const double factor = 1.0 / std::sqrt(squares / double(x.cols) + double(eps));
      for (int64_t c = 0; c < x.cols; ++c) {
        out.row(r)[c] = float(double(x.row(r)[c]) * factor * double(weight[size_t(c)]));
      }
    }
  }

  void matmul(const Weight& w, MatView<const float> x, std::span<const float> bias, bool accumulate,
              MatView<float> y) override {
    std::vector<float> row(static_cast<size_t>(w.cols));
    for (int64_t r = 0; r < w.rows; ++r) {
      dequantise_row(w, r, row.data());
      for (int64_t t = 0; t < x.rows; ++t) {
        double sum = bias.empty() ? 0.0 : double(bias[size_t(r)]);
        for (int64_t c = 0; c < w.cols; ++c) sum += double(x.row(t)[c]) * double(row[size_t(c)]);
        y.row(t)[r] = float(accumulate ? double(y.row(t)[r]) + sum : sum);
      }
    }
  }

  void gated_activation(Activation act, MatView<float> gate, MatView<const float> up) override {
    for (int64_t t = 0; t < gate.rows; ++t) {
      for (int64_t i = 0; i < gate.cols; ++i) {
        gate.row(t)[i] = float(activate(act, double(gate.row(t)[i])) * double(up.row(t)[i]));
      }
    }
  }

  void add(MatView<float> x, MatView<const float> y) override {
    for (int64_t t = 0; t < x.rows; ++t) {
      for (int64_t i = 0; i < x.cols; ++i) x.row(t)[i] += y.row(t)[i];
    }
  }

  void rope(const Rope& rope, int64_t first_slot, int64_t head_dim, MatView<float> x) override {
    std::vector<double> head(static_cast<size_t>(head_dim));
    for (int64_t t = 0; t < x.rows; ++t) {
      for (int64_t begin = 0; begin < x.cols; begin += head_dim) {
        float* values = x.row(t) + begin;
        std::copy(values, values + head_dim, head.begin());
        reference::rotate(rope, first_slot + t, head);
        for (int64_t d = 0; d < head_dim; ++d) values[d] = float(head[size_t(d)]);
      }
    }
  }

  void store_kv(MatView<const float> k, MatView<const float> v, int64_t first_slot, const KvView& kv) override {
    for (int64_t t = 0; t < k.rows; ++t) {
      for (int64_t h = 0; h < kv.n_kv_heads; ++h) {
        for (int64_t d = 0; d < kv.head_dim; ++d) {
          const int64_t to = (h * kv.capacity + first_slot + t) * kv.head_dim + d;
          store_element(kv, kv.k, to, k.row(t)[h * kv.head_dim + d]);
          store_element(kv, kv.v, to, v.row(t)[h * kv.head_dim + d]);
        }
      }
    }
  }

  void attention(const AttentionArgs& args, MatView<float> out, MatView<float> lse) override {
    reference::attention(args, out, lse);
  }

  void attention_column_sums(const AttentionArgs& args, MatView<const float> lse, HostSpan<const int32_t> query_rows,
                             HostSpan<const float> query_weights, std::span<float> column_sums) override {
    reference::attention_column_sums(args, lse, query_rows, query_weights, column_sums);
  }

  void choose_slots(const KeptSlots& kept, int64_t kv_len, std::span<const float> scores,
                    std::span<int32_t> keep) override {
    std::vector<int32_t> between(size_t(kv_len - kept.first - kept.last));
    std::iota(between.begin(), between.end(), int32_t(kept.first));
    if (kept.heaviest > 0) {
      const auto is_heavier = [&](int32_t a, int32_t b) {
        const float x = scores[size_t(a)], y = scores[size_t(b)];
        return std::isnan(y) ? !std::isnan(x) : x > y;
      };
      std::stable_sort(between.begin(), between.end(), is_heavier);
    }
    between.resize(size_t(kept.heaviest));
    std::sort(between.begin(), between.end());
    const auto first_end = keep.begin() + kept.first;
    std::iota(keep.begin(), first_end, 0);
    std::iota(std::copy(between.begin(), between.end(), first_end), keep.end(), int32_t(kv_len - kept.last));
  }

  void choose_cascade(const Cascade& cascade, int64_t kv_len, std::span<const float> scores,
                      std::span<int32_t> keep) override {
    reference::choose_cascade(cascade, kv_len, scores, keep);
  }

  void scale(std::span<float> x, float factor) override {
    for (float& value : x) value *= factor;
  }

  void merge_kv(const KvView& kv, bool has_merged, std::span<const int32_t> singles, std::span<float> weights,
                std::span<float> bias) override {
    reference::merge_kv(kv, has_merged, singles, weights, bias);
  }

  void compact_scores(std::span<float> scores, std::span<const int32_t> keep) override {
    for (size_t to = 0; to < scores.size(); ++to) scores[to] = to < keep.size() ? scores[size_t(keep[to])] : 0.0f;
  }

  void compact_kv(const KvView& kv, std::span<const int32_t> keep) override {
    for (int64_t h = 0; h < kv.n_kv_heads; ++h) {
      for (size_t to = 0; to < keep.size(); ++to) {
        for (int64_t d = 0; d < kv.head_dim; ++d) {
          const int64_t source = (h * kv.capacity + keep[to]) * kv.head_dim + d;
          const int64_t target = (h * kv.capacity + int64_t(to)) * kv.head_dim + d;
          move_element(kv, kv.k, source, target);
          move_element(kv, kv.v, source, target);
        }
      }
    }
  }

  void normalise_quantise(MatView<const float> x, std::span<const float> centre, MatView<int8_t> q,
                          MatView<float> scales) override {
    std::vector<double> value(static_cast<size_t>(x.cols));
    for (int64_t t = 0; t < x.rows; ++t) {
      double squares = 0, max = 0;
      for (int64_t d = 0; d < x.cols; ++d) {
        value[size_t(d)] = double(x.row(t)[d]) - (centre.empty() ? 0.0 : double(centre[size_t(d)]));
        squares += value[size_t(d)] * value[size_t(d)];
        max = std::max(max, std::abs(value[size_t(d)]));
      }
      // The norm cancels in value / scale: q = 127 * value / max.
      const bool zero = !(max > 0) || !std::isfinite(squares);
      for (int64_t d = 0; d < x.cols; ++d) {
        q.row(t)[d] = zero ? int8_t(0) : int8_t(std::lrint(value[size_t(d)] / max * 127.0));
      }
      *scales.row(t) = zero ? 0.0f : float(max / std::sqrt(squares) / 127.0);
    }
  }

  void score(const EmbeddingRows& stored, const EmbeddingRows& query, std::span<float> scores) override {
    for (int64_t i = 0; i < stored.n_rows; ++i) {
      double best = -INFINITY;
      for (int64_t t = 0; t < query.n_rows; ++t) {
        double sum = 0;
        for (int64_t h = 0; h < stored.n_heads; ++h) sum += cosine(stored, i, query, t, h);
        best = std::max(best, sum / double(stored.n_heads));
      }
      scores[size_t(i)] = float(best);
    }
  }

  void best_cosines(const EmbeddingRows& stored, const EmbeddingRows& query, HostSpan<const int32_t> segment_ends,
                    std::span<float> best) override {
    size_t out = 0;
    int64_t begin = 0;
    for (const int64_t end : segment_ends) {
      for (int64_t h = 0; h < stored.n_heads; ++h) {
        for (int64_t t = 0; t < query.n_rows; ++t) {
          double largest = -INFINITY;
          for (int64_t i = begin; i < end; ++i) largest = std::max(largest, cosine(stored, i, query, t, h));
          best[out++] = float(largest);
        }
      }
      begin = end;
    }
  }

 private:
  // Of head h of stored row i and query row t.
  static double cosine(const EmbeddingRows& stored, int64_t i, const EmbeddingRows& query, int64_t t, int64_t h) {
    const int64_t a = i * stored.n_heads + h, b = t * query.n_heads + h;
    int64_t dot = 0;
    for (int64_t d = 0; d < stored.head_dim; ++d) {
      dot += int64_t(stored.values[a * stored.head_dim + d]) * int64_t(query.values[b * query.head_dim + d]);
    }
    return double(stored.scales[a]) * double(query.scales[b]) * double(dot);
  }

  static void dequantise_row(const Weight& w, int64_t r, float* out) {
    dequantise(w.type, static_cast<const std::byte*>(w.data) + r * row_bytes(w.type, w.cols), w.cols, out);
  }
};

}  // namespace

void Ops::argmax(std::span<const float> logits, int32_t* id) {
  float best = -std::numeric_limits<float>::infinity();
  *id = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > best) best = logits[i], *id = int32_t(i);
  }
}

std::unique_ptr<Ops> make_reference_ops() { return std::make_unique<ReferenceOps>(); }

}  // namespace reform
