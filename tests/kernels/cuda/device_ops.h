// The CUDA op list on a real device, for tests written for host memory: every op's arguments are copied there and back.
#pragma once

#include <memory>

#include "kernels/ops.h"

namespace reform::test {

// Nothing where there is no device, or the build has no CUDA. `limits` as for the ops.
std::unique_ptr<Ops> device_ops(const OpLimits& limits);

}  // namespace reform::test
