// What the GPU's benches share: arrays on a device, a clock for its work, a case's outcome.
//
// Work is queued. So a time is that of a batch of calls, up to a copy that waits for them, divided by the number of
// calls; a batch is long enough that the wait does not matter. Runs on any Device; the tests run it on the CPU's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/memory.h"
#include "kernels/device.h"
#include "kernels/ops.h"

namespace reform::bench {

struct Timing {
  double median_ms = 0, min_ms = 0, max_ms = 0;  // of one call
  int64_t n_batches = 0, n_calls = 0;            // calls of one batch
};

// A case's results: its comparison with the reference, and its times.
struct Measured {
  Timing timing{};
  double work = 0;  // of one call: operations or bytes
  double error = 0, allowed = 0;
};

class GpuBench;

struct Case {
  std::string name;       // op/type/shape
  const char* unit;       // "TFLOP/s" or "GB/s"
  int64_t per_layer = 0;  // how often a layer of the model runs it; 0: not counted
  std::function<Result<Measured>(GpuBench&)> run;
};

template <class T>
using Array = Buffer<T>;

// Ops with the workspace under them.
struct BenchOps {
  Buffer<std::byte> workspace;
  std::unique_ptr<Ops> ops;
  Ops* operator->() const { return ops.get(); }
};

class GpuBench {
 public:
  // tiny: one call per case; each case chooses its own sizes.
  GpuBench(Device& device, bool tiny) : device_(device), tiny_(tiny) {}

  template <class T>
  Result<Array<T>> array(int64_t n_elems) {
    return Array<T>::create(device_.account(), MemoryCategory::kActivations, n_elems);
  }
  template <class T>
  Result<Array<T>> put(const std::vector<T>& host) {
    TRY_ASSIGN(Array<T> there, array<T>(int64_t(host.size())));
    TRY(device_.to_device(there.data(), host.data(), int64_t(host.size() * sizeof(T))));
    return there;
  }
  template <class T>
  Result<std::vector<T>> get(const T* from, int64_t n_elems) {
    std::vector<T> host(static_cast<size_t>(n_elems));
    TRY(device_.to_host(host.data(), from, n_elems * int64_t(sizeof(T))));
    return host;
  }
  Result<BenchOps> ops(const OpLimits& limits);
  // Medians of batches of `call`, after one that is not counted. `scratch`: any 4 bytes of the device's memory.
  Result<Timing> time(const void* scratch, const std::function<void()>& call);

 private:
  Device& device_;
  const bool tiny_;
};

// Root mean square of the differences, divided by that of `want`; infinite if any value is not finite.
double relative_error(const std::vector<float>& got, const std::vector<double>& want);

std::vector<float> random_floats(int64_t n, uint32_t seed);  // in [-1, 1]

inline constexpr const char* kFp8Matmul = "matmul_fp8";  // the prefix of those cases' names
std::vector<Case> matmul_cases(bool tiny);
std::vector<Case> attention_cases(bool tiny);
std::vector<Case> row_cases(bool tiny);  // what is bound by memory: norms, caches, scores

}  // namespace reform::bench
