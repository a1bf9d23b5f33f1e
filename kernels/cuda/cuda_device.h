// A CUDA device as the engine sees it: one stream, the CUDA ops, and one arena that is allocated when it is opened.
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
constexpr int kOldestCudaMajor = 8;  // the oldest compute capability that runs

// Empty if there is no chip or no driver.
std::vector<CudaChip> list_cuda_chips();

struct CudaDeviceOptions {
  // The most memory to use on the chip, the driver's share for this process included. 0: all that is free but a
  // reserve.
  int64_t max_bytes = 0;
  // The file to load cuBLASLt from; kUnavailable if that fails. "": what the loader finds. Without a library our own
  // kernels multiply.
  std::string cublas_lt{};
  bool fp8 = false;        // jobs will ask for FP8 products; kUnavailable if the chip or the library has none
  bool warpgroups = true;  // attention by warpgroups, if the chip has them and gets it right (warpgroup_check.h)
};

// Allocates all memory that is ours now, and loads all kernels if the driver can. kUnavailable: there is no such chip
// or driver, or it is older than compute capability 8.0. kMemoryCap: the arena could not be allocated.
Result<std::unique_ptr<Device>> open_cuda_device(int index, const CudaDeviceOptions& options);

}  // namespace reform
