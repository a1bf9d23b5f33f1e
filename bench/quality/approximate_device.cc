#include "bench/quality/approximate_device.h"

#include <algorithm>
#include <cmath>

#include "base/float16.h"
#include "base/float8.h"
#include "kernels/forwarding_ops.h"

namespace reform::bench {
namespace {

constexpr int64_t kFewRows = 8;  // up to so many rows a GPU multiplies with weights and activations nearly unrounded

constexpr Approximation kApproximations[] = {
    {"exact"},
    {"f32", Products::kF32},
    {"f16", Products::kF16},
    {"bf16", Products::kBf16},
    {"fp8-row", Products::kFp8PerRow},
    {"fp8-call", Products::kFp8PerCall},
    {"fp8-unscaled", Products::kFp8Unscaled},
    {"stride-2", Products::kAsTheyAre, 2},
    {"stride-4", Products::kAsTheyAre, 4},
    {"stride-8", Products::kAsTheyAre, 8},
    {"stride-16", Products::kAsTheyAre, 16},
};

float largest(const float* x, int64_t n) {
  float most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::abs(x[i]));
  return most;
}

// The step at which e4m3's largest code means `most`.
float step_for(float most) { return most > 0 ? most / kLargestE4m3 : 1.0f; }

void round_to_e4m3(const float* x, int64_t n, float step, float* out) {
  const float per_step = 1.0f / step;
  for (int64_t i = 0; i < n; ++i) out[i] = e4m3_to_f32(f32_to_e4m3(x[i] * per_step)) * step;
}

void round_to_f16(const float* x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = f16_to_f32(f32_to_f16(std::clamp(x[i], -65504.0f, 65504.0f)));
}

void round_to_bf16(const float* x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = bf16_to_f32(f32_to_bf16(x[i]));
}

void round_weight(const Weight& w, Products products, ThreadPool& pool, float* out) {
  const int64_t bytes = row_bytes(w.type, w.cols);
  std::vector<float> most(size_t(w.rows));
  pool.parallel_for(w.rows, [&](int64_t r, int) {
    dequantise(w.type, static_cast<const std::byte*>(w.data) + r * bytes, w.cols, out + r * w.cols);
    most[size_t(r)] = largest(out + r * w.cols, w.cols);
  });
  const float step = step_for(*std::max_element(most.begin(), most.end()));
  pool.parallel_for(w.rows, [&](int64_t r, int) {
    float* const row = out + r * w.cols;
    if (products == Products::kF32) return;
    if (products == Products::kF16) {
      round_to_f16(row, w.cols, row);
    } else if (products == Products::kBf16) {
      round_to_bf16(row, w.cols, row);
    } else {
      round_to_e4m3(row, w.cols, step, row);
    }
  });
}

void round_activations(MatView<const float> x, Products products, ThreadPool& pool, MatView<float> out) {
  float most = 0;
  if (products == Products::kFp8PerCall) {
    for (int64_t t = 0; t < x.rows; ++t) most = std::max(most, largest(x.row(t), x.cols));
  }
  pool.parallel_for(x.rows, [&](int64_t t, int) {
    if (products == Products::kF32) {
      std::copy_n(x.row(t), x.cols, out.row(t));
      return;
    }
    if (products == Products::kF16) return round_to_f16(x.row(t), x.cols, out.row(t));
    if (products == Products::kBf16) return round_to_bf16(x.row(t), x.cols, out.row(t));
    const float step = products == Products::kFp8Unscaled ? 1.0f
                       : products == Products::kFp8PerRow ? step_for(largest(x.row(t), x.cols))
                                                          : step_for(most);
    round_to_e4m3(x.row(t), x.cols, step, out.row(t));
  });
}

}  // namespace

std::span<const Approximation> approximations() { return kApproximations; }

const Approximation* find_approximation(const std::string& name) {
  const auto found = std::find_if(std::begin(kApproximations), std::end(kApproximations),
                                  [&](const Approximation& a) { return name == a.name; });
  return found == std::end(kApproximations) ? nullptr : found;
}

const Weight& RoundedWeights::of(const Weight& w, Products products, ThreadPool& pool) {
  if (products == Products::kFp8PerCall || products == Products::kFp8Unscaled) products = Products::kFp8PerRow;
  if (products != products_) copies_.clear();
  products_ = products;
  const auto [at, is_new] = copies_.try_emplace(w.data);
  Copy& copy = at->second;
  if (is_new) {
    copy.values.resize(size_t(w.rows * w.cols));
    round_weight(w, products, pool, copy.values.data());
    copy.weight = {QuantType::kF32, w.rows, w.cols, copy.values.data()};
  }
  return copy.weight;
}

// The CPU's ops, except these two.
class ApproximateOps final : public ForwardingOps {
 public:
  ApproximateOps(ApproximateDevice& device, std::unique_ptr<Ops> cpu)
      : ForwardingOps(std::move(cpu)), device_(device) {}

  void matmul(const Weight& w, MatView<const float> x, std::span<const float> bias, bool accumulate,
              MatView<float> y) override {
    const Products products = device_.now_.products;
    if (products == Products::kAsTheyAre || x.rows <= kFewRows) return inner().matmul(w, x, bias, accumulate, y);
    rounded_.resize(size_t(x.rows * x.cols));
    const MatView<float> rounded(rounded_.data(), x.rows, x.cols);
    round_activations(x, products, device_.pool_, rounded);
    inner().matmul(device_.rounded_.of(w, products, device_.pool_), rounded, bias, accumulate, y);
  }

  void attention_column_sums(const AttentionArgs& args, MatView<const float> lse, HostSpan<const int32_t> query_rows,
                             HostSpan<const float> query_weights, std::span<float> column_sums) override {
    const size_t stride = size_t(device_.now_.query_stride);
    rows_.clear();
    weights_.clear();
    for (size_t begin = 0; begin < query_rows.size(); begin += stride) {
      rows_.push_back(query_rows[begin]);
      weights_.push_back(0);
      for (size_t i = begin; i < std::min(begin + stride, query_rows.size()); ++i) weights_.back() += query_weights[i];
    }
    inner().attention_column_sums(args, lse, rows_, weights_, column_sums);
  }

 private:
  ApproximateDevice& device_;
  std::vector<float> rounded_, weights_;
  std::vector<int32_t> rows_;
};

std::unique_ptr<Ops> ApproximateDevice::make_ops(const OpLimits& limits, std::span<std::byte> workspace) {
  return std::make_unique<ApproximateOps>(*this, cpu_->make_ops(limits, workspace));
}

}  // namespace reform::bench
