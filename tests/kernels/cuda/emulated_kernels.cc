#include "tests/kernels/cuda/emulated_kernels.h"

#include "kernels/cuda/cuda_ops.inl.h"

namespace reform::test {

int64_t emulated_workspace_bytes(const OpLimits& limits) { return cuda::Scratch(limits).bytes; }

std::unique_ptr<Ops> make_emulated_ops(const OpLimits& limits, void* stream, std::span<std::byte> workspace,
                                       const CudaOptions& options) {
  return std::make_unique<cuda::CudaOps>(limits, static_cast<cuda::Stream>(stream), workspace, options);
}

}  // namespace reform::test
