// Which kernels an Isa has. The Ops themselves are made by make_cpu_ops (kernels/ops.h).
#pragma once

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/ops.h"

namespace reform::cpu {

const CpuKernels& kernels_for(Isa isa);

}  // namespace reform::cpu
