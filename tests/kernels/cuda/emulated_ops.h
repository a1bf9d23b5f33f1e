// The CUDA op list with its kernels emulated on the host. Its "device memory" is the host's.
#pragma once

#include <catch2/catch.hpp>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/ops.h"
#include "tests/kernels/cuda/device_ops.h"

namespace reform::test {

class EmulatedCuda {
 public:
  explicit EmulatedCuda(const OpLimits& limits, const CudaOptions& options = {});
  Ops& operator*() { return *ops_; }
  Ops* operator->() { return ops_.get(); }
  bool guards_hold() const;  // nothing was written past the workspace

 private:
  std::vector<uint64_t> memory_;
  int64_t workspace_bytes_ = 0;
  std::unique_ptr<Ops> ops_;
};

// Calls fn(ops) for the emulated CUDA ops and, if a device has what `options` asks for, for the ops on it. A failure
// says which.
template <class Fn>
void for_each_cuda(const OpLimits& limits, Fn fn, const CudaOptions& options = {}) {
  {
    INFO("cuda, emulated");
    EmulatedCuda emulated(limits, options);
    fn(*emulated);
    CHECK(emulated.guards_hold());
  }
  INFO("cuda device");
  if (const auto ops = device_ops(limits, options)) fn(*ops);
}

}  // namespace reform::test
