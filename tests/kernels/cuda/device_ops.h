// The CUDA op list on a real device, for tests written for host memory: every op's arguments are copied there and back.
#pragma once

#include <memory>

#include "kernels/cuda/cuda_ops.h"

namespace reform::test {

// Null if the build has no CUDA, or if no device has what `options` asks for. `limits`: as for the ops.
std::unique_ptr<Ops> device_ops(const OpLimits& limits, const CudaOptions& options = {});

// Whether the chip has warpgroups and the build has kernels for them. Exists only in a build with CUDA.
bool chip_has_warpgroups();

}  // namespace reform::test
