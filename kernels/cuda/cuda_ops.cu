#include "kernels/cuda/cuda_ops.inl.h"
#include "kernels/cuda/driver.h"

namespace reform {

Result<int> load_cuda_kernels() { return load_kernels_beside(reinterpret_cast<const void*>(&cuda::add_kernel)); }

int64_t cuda_workspace_bytes(const OpLimits& limits) { return cuda::Scratch(limits).bytes; }

std::unique_ptr<Ops> make_cuda_ops(const OpLimits& limits, void* stream, std::span<std::byte> workspace,
                                   const CudaOptions& options) {
  return std::make_unique<cuda::CudaOps>(limits, static_cast<cuda::Stream>(stream), workspace, options);
}

}  // namespace reform
