// The CUDA ops with their kernels emulated on the host, compiled once for all test programs.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/ops.h"

namespace reform::test {

// As cuda_workspace_bytes() and make_cuda_ops(), which in a build with CUDA are the chip's.
int64_t emulated_workspace_bytes(const OpLimits& limits);
std::unique_ptr<Ops> make_emulated_ops(const OpLimits& limits, void* stream, std::span<std::byte> workspace,
                                       const CudaOptions& options = {});

}  // namespace reform::test
