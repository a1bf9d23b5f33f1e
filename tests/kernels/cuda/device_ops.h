// The CUDA op list on a real device, for tests written for host memory: every op's arguments are copied there and back.
#pragma once

#include <memory>

#include "kernels/cuda/cuda_ops.h"

namespace reform::test {

// Nothing where there is no device, or none with what `options` asks for, or the build has no CUDA. `limits` as for the
// ops.
std::unique_ptr<Ops> device_ops(const OpLimits& limits, const CudaOptions& options = {});

// Of a build with CUDA.
bool chip_has_warpgroups();

}  // namespace reform::test
