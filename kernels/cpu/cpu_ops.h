// The kernels that an Isa has. make_cpu_ops() makes the Ops themselves (kernels/ops.h).
#pragma once

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/ops.h"

namespace reform::cpu {

const CpuKernels& kernels_for(Isa isa);

}  // namespace reform::cpu
