// What the chip reaches at best, measured in the same run: the yardstick beside each figure. 10^9 bytes or operations.
#pragma once

#include <reform/status.h>

#include <string>
#include <utility>
#include <vector>

namespace reform::bench {

// In the order in which they are shown; 0: not measured. read_gbs, copy_gbs (read and written),
// host_to_device_pinned_gbs, device_to_host_pinned_gbs, the same two _pageable_, dense_bf16_tflops.
struct GpuPeaks {
  std::vector<std::pair<std::string, double>> values;
  std::string dense_by;  // whose product dense_bf16_tflops is of; empty: none
};

// On CUDA device `index`, with memory of its own that is free again when it returns.
Result<GpuPeaks> measure_gpu_peaks(int index);

}  // namespace reform::bench
