#include "bench/gpu/gpu_bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

namespace reform::bench {
namespace {

constexpr double kBatchMs = 30;    // long compared with the cost of waiting for the device
constexpr double kCaseMs = 1'500;  // then three batches are enough
constexpr int kBatches = 9, kFewBatches = 3;
constexpr int64_t kMostCalls = 2'000;  // queued at once

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Result<BenchOps> GpuBench::ops(const OpLimits& limits) {
  BenchOps made;
  TRY_ASSIGN(made.workspace,
             Buffer<std::byte>::create(device_.account(), MemoryCategory::kWorkspace, device_.workspace_bytes(limits)));
  made.ops = device_.make_ops(limits, made.workspace.span());
  return made;
}

Result<Timing> GpuBench::time(const void* scratch, const std::function<void()>& call) {
  uint32_t word = 0;
  const auto wait = [&] { return device_.to_host(&word, scratch, sizeof(word)); };
  call();
  TRY(wait());
  if (tiny_) return Timing{.n_batches = 1, .n_calls = 1};
  const auto batch_ms = [&](int64_t n_calls) -> Result<double> {
    const double begun = now_ms();
    for (int64_t i = 0; i < n_calls; ++i) call();
    TRY(wait());
    return (now_ms() - begun) / double(n_calls);
  };
  TRY_ASSIGN(const double once_ms, batch_ms(1));
  TRY_ASSIGN(const double estimate_ms, batch_ms(std::clamp<int64_t>(int64_t(2 / std::max(once_ms, 1e-3)), 1, 50)));
  const int64_t n_calls = std::clamp<int64_t>(int64_t(kBatchMs / std::max(estimate_ms, 1e-4)), 1, kMostCalls);
  std::vector<double> times;
  for (const double begun = now_ms(); std::ssize(times) < kBatches;) {
    if (std::ssize(times) >= kFewBatches && now_ms() - begun > kCaseMs) break;
    TRY_ASSIGN(const double ms, batch_ms(n_calls));
    times.push_back(ms);
  }
  std::ranges::sort(times);
  return Timing{times[times.size() / 2], times.front(), times.back(), int64_t(times.size()), n_calls};
}

double relative_error(const std::vector<float>& got, const std::vector<double>& want) {
  double squares = 0, all = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    if (!std::isfinite(got[i])) return std::numeric_limits<double>::infinity();
    squares += (got[i] - want[i]) * (got[i] - want[i]), all += want[i] * want[i];
  }
  return std::sqrt(squares / std::max(all, 1e-300));
}

std::vector<float> random_floats(int64_t n, uint32_t seed) {
  std::minstd_rand random(seed);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = float(int(random() % 2001) - 1000) * 1e-3f;
  return values;
}

}  // namespace reform::bench
