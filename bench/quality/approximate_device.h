// The CPU's device with a GPU's lower precision, to measure what that costs in answers: activations and weights are
// rounded before a product of many rows, and attention is accumulated over some of the queries.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/device.h"

namespace reform::bench {

// How a product of many rows rounds its operands; sums stay FP32. FP8 has a scale per weight matrix, which makes its
// largest value 448, and scales of the activations: one per row, one per call, or none.
enum class Products : uint8_t { kAsTheyAre, kF32, kF16, kBf16, kFp8PerRow, kFp8PerCall, kFp8Unscaled };

struct Approximation {
  const char* name;
  Products products = Products::kAsTheyAre;
  int64_t query_stride = 1;  // accumulated attention: one query in so many stands for its neighbours
};

std::span<const Approximation> approximations();
const Approximation* find_approximation(const std::string& name);

// Rounded copies of weights, each made at its first product. Not thread-safe.
class RoundedWeights {
 public:
  const Weight& of(const Weight& w, Products products, ThreadPool& pool);

 private:
  struct Copy {
    Weight weight;
    std::vector<float> values;
  };
  Products products_ = Products::kAsTheyAre;  // of all copies
  std::unordered_map<const void*, Copy> copies_;
};

class ApproximateDevice final : public Device {
 public:
  // `pool`, `account` and `rounded` must outlive it.
  ApproximateDevice(Isa isa, ThreadPool& pool, MemoryAccount& account, RoundedWeights& rounded)
      : pool_(pool), rounded_(rounded), cpu_(make_cpu_device(isa, pool, account)) {}

  // Takes effect for ops issued from now on.
  void use(Approximation approximation) { now_ = approximation; }

  const char* name() const override { return cpu_->name(); }
  MemoryAccount& account() override { return cpu_->account(); }
  bool is_host() const override { return true; }
  int64_t block_tokens() const override { return 4096; }  // as a large GPU: the activations of one call share a scale
  int64_t workspace_bytes(const OpLimits& limits) const override { return cpu_->workspace_bytes(limits); }
  std::unique_ptr<Ops> make_ops(const OpLimits& limits, std::span<std::byte> workspace) override;
  Status to_device(void* to, const void* from, int64_t bytes) override { return cpu_->to_device(to, from, bytes); }
  Status to_host(void* to, const void* from, int64_t bytes) override { return cpu_->to_host(to, from, bytes); }
  void fill_zero(void* to, int64_t bytes) override { cpu_->fill_zero(to, bytes); }

 private:
  friend class ApproximateOps;
  ThreadPool& pool_;
  RoundedWeights& rounded_;
  std::unique_ptr<Device> cpu_;
  Approximation now_{"exact"};
};

}  // namespace reform::bench
