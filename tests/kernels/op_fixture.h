// What the ops' tests share: seeded data with outliers, guarded strided outputs, an Ops with its pool and memory.
#pragma once

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/ops.h"

namespace reform::test {

inline std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  for (Isa isa : kIsas) {
    if (isa != Isa::kRef && isa_supported(isa)) isas.push_back(isa);
  }
  return isas;
}

// An Ops with all that must outlive it.
class CpuUnderTest {
 public:
  CpuUnderTest(Isa isa, const OpLimits& limits, int n_threads) : pool_(n_threads) {
    const size_t bytes = size_t(cpu_workspace_bytes(isa, limits, n_threads));
    workspace_.reset(static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)));
    // Scratch is never assumed to be zero: this pattern is a NaN in every float.
    std::memset(workspace_.get(), 0xff, bytes);
    ops_ = make_cpu_ops(isa, limits, pool_, {workspace_.get(), bytes});
  }
  Ops& operator*() { return *ops_; }
  Ops* operator->() { return ops_.get(); }

 private:
  struct Free {
    void operator()(void* p) const noexcept { std::free(p); }
  };
  ThreadPool pool_;
  std::unique_ptr<std::byte, Free> workspace_;
  std::unique_ptr<Ops> ops_;
};

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  float normal() { return normal_(engine_); }
  int64_t below(int64_t n) { return int64_t(engine_() % uint64_t(n)); }
  std::vector<float> normals(int64_t n) {
    std::vector<float> x(static_cast<size_t>(n));
    for (float& value : x) value = normal();
    return x;
  }

 private:
  std::mt19937 engine_;
  std::normal_distribution<float> normal_;
};

// A matrix whose rows lie stride > cols apart, one element past an alignment, with guards around every row.
class Guarded {
 public:
  static constexpr float kGuard = -12345.0f;
  Guarded(int64_t rows, int64_t cols) : rows_(rows), cols_(cols), stride_(cols + 5) {
    values_.assign(size_t(1 + rows * stride_ + 5), kGuard);
  }
  Guarded(int64_t rows, int64_t cols, Random& random) : Guarded(rows, cols) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) view().row(r)[c] = random.normal();
    }
  }
  MatView<float> view() { return {values_.data() + 1, rows_, cols_, stride_}; }
  bool guards_hold() const {
    for (size_t i = 0; i < values_.size(); ++i) {
      const int64_t at = int64_t(i) - 1;
      const bool inside = at >= 0 && at / stride_ < rows_ && at % stride_ < cols_;
      if (!inside && values_[i] != kGuard) return false;
    }
    return true;
  }
  std::vector<float> dense() {
    std::vector<float> x;
    for (int64_t r = 0; r < rows_; ++r) x.insert(x.end(), view().row(r), view().row(r) + cols_);
    return x;
  }

 private:
  int64_t rows_, cols_, stride_;
  std::vector<float> values_;
};

// One layer's cache with capacity > kv_len; the slots past kv_len hold NaN.
class Cache {
 public:
  Cache(KvView::Type type, int64_t n_kv_heads, int64_t head_dim, int64_t kv_len)
      : bytes_(size_t(n_kv_heads * (kv_len + 3) * head_dim * 4)), v_bytes_(bytes_.size()) {
    std::fill(bytes_.begin(), bytes_.end(), std::byte{0xff});
    std::fill(v_bytes_.begin(), v_bytes_.end(), std::byte{0xff});
    view_ = {type, bytes_.data(), v_bytes_.data(), n_kv_heads, head_dim, kv_len + 3, kv_len};
  }
  const KvView& view() const { return view_; }
  // Fills all slots. `outlier_dims` dimensions of the keys get a constant of hundreds, as Qwen2.5's biases do.
  void fill(Random& random, int64_t outlier_dims) {
    const int64_t cols = view_.n_kv_heads * view_.head_dim;
    std::vector<float> k = random.normals(view_.kv_len * cols), v = random.normals(view_.kv_len * cols);
    for (int64_t i = 0; i < outlier_dims; ++i) {
      const int64_t dim = random.below(cols);
      for (int64_t s = 0; s < view_.kv_len; ++s) k[size_t(s * cols + dim)] += i % 2 == 0 ? 180.0f : -75.0f;
    }
    make_reference_ops()->store_kv({k.data(), view_.kv_len, cols}, {v.data(), view_.kv_len, cols}, 0, view_);
  }
  std::vector<std::byte> all_bytes() const {
    std::vector<std::byte> all = bytes_;
    all.insert(all.end(), v_bytes_.begin(), v_bytes_.end());
    return all;
  }

 private:
  std::vector<std::byte> bytes_, v_bytes_;
  KvView view_;
};

inline std::vector<float> inverse_frequencies(int64_t n_pairs, double base) {
  std::vector<float> f(static_cast<size_t>(n_pairs));
  for (int64_t i = 0; i < n_pairs; ++i) f[size_t(i)] = float(std::pow(base, -double(i) / double(n_pairs)));
  return f;
}

}  // namespace reform::test
