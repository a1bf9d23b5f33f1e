// The CUDA driver beside our arena: loading kernels, the memory it takes for itself.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <optional>

namespace reform {

// Loads every kernel of the module that holds `kernel` (a __global__ function) on CUDA's current device. Otherwise the
// driver would load each at its first launch, in memory that nobody planned. Returns their number.
Result<int> load_kernels_beside(const void* kernel);

// What is in use on the chip by everybody, as the driver reports it (NVML); nothing where that cannot be asked.
// Needs no CUDA context, so that what one takes can be measured.
std::optional<int64_t> used_bytes_of_chip(int index);

}  // namespace reform
