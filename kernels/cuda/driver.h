// The CUDA driver beside our arena: it loads kernels, and takes memory for itself.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <optional>

namespace reform {

// Loads every kernel of the module that holds `kernel` (a __global__ function) on CUDA's current device, and returns
// their number. Otherwise the driver would load each at its first launch, into memory that nobody planned for.
Result<int> load_kernels_beside(const void* kernel);

// The bytes that all processes use on the chip, as the driver reports them (NVML); nothing if it cannot say. It needs
// no CUDA context, so it can measure what a context takes.
std::optional<int64_t> used_bytes_of_chip(int index);

}  // namespace reform
