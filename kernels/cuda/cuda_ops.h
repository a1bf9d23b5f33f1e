// The op list on a CUDA device. Pointers handed to these ops are the device's; what is a HostSpan or a Rope's is
// copied.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <memory>
#include <span>

#include "kernels/cuda/product_library.h"
#include "kernels/ops.h"

namespace reform {

struct CudaOptions {
  // Multiplies matrices where it can; outlives the ops. Null: our own kernel does.
  cuda::ProductLibrary* products = nullptr;
  // A count that rises with each write to the device's memory that is not by these ops: copies and fills from the host,
  // memory that changes hands, a graph's replay. While it stays the same, a product may reuse what an earlier op made
  // of its activations. Outlives the ops. Null: nothing is kept from op to op.
  const int64_t* outside_writes = nullptr;
  // Attention of many rows by a warpgroup's products (warpgroup.cuh).
  bool warpgroups = false;
};

// Loads all kernels for CUDA's current device, which the driver would otherwise do at each one's first launch. Returns
// their number. The warpgroups' kernels are a module of their own, loaded when warpgroups are tried.
Result<int> load_cuda_kernels();
constexpr int64_t kMaxCudaHeadDim = 256;  // of attention's tiles

// Bytes make_cuda_ops() wants as workspace, in device memory.
int64_t cuda_workspace_bytes(const OpLimits& limits);
// Work goes to `stream` (a cudaStream_t) in order; nothing waits for it. workspace: 256-byte aligned device memory.
std::unique_ptr<Ops> make_cuda_ops(const OpLimits& limits, void* stream, std::span<std::byte> workspace,
                                   const CudaOptions& options = {});

}  // namespace reform
