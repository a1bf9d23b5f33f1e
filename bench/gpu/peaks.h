// The chip's best rates, measured in the same run, for comparison with each figure. In 10^9 bytes or operations per
// second.
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
  std::string dense_by;  // the library that computed dense_bf16_tflops; empty: none
};

// Measures CUDA device `index`. It allocates its own memory and frees it before it returns.
Result<GpuPeaks> measure_gpu_peaks(int index);

}  // namespace reform::bench
