// A CUDA device as the engine sees it: one stream, one arena taken when it is opened, the CUDA ops.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/device.h"

namespace reform {

struct CudaChip {
  int index = 0;
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int64_t total_bytes = 0;
};
constexpr int kOldestCudaMajor = 8;  // of compute capability

// Empty where there is none, or no driver.
std::vector<CudaChip> list_cuda_chips();

struct CudaDeviceOptions {
  // Of its memory, the driver's share for this process included; 0: what is free but for a reserve.
  int64_t max_bytes = 0;
  // The file to load cuBLASLt from (kUnavailable), or "" for what the loader finds; without one, our own kernels
  // multiply.
  std::string cublas_lt{};
  bool fp8 = false;        // jobs will ask for products of FP8 factors; kUnavailable where chip or library have none
  bool warpgroups = true;  // attention by them where the chip has them and they are right (warpgroup_check.h)
};

// All memory that is ours is taken now, and all kernels are loaded, if the driver can. kUnavailable for what is not
// there, or older than compute capability 8.0; kMemoryCap if the arena cannot be had.
Result<std::unique_ptr<Device>> open_cuda_device(int index, const CudaDeviceOptions& options);

}  // namespace reform
