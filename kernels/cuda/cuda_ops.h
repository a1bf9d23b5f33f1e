// The op list on a CUDA device. All pointers handed to these ops are the device's, but for those that device.h names,
// which are copied.
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
  // Counts what writes the device's memory other than these ops: copies and fills from the host, memory that changes
  // hands, a graph's replay. While it stays the same, a product may use what an op before it made of its activations.
  // Outlives the ops. Null: nothing is kept from op to op.
  const int64_t* outside_writes = nullptr;
  // Attention of many rows by a warpgroup's products (warpgroup.cuh).
  bool warpgroups = false;
};

// For CUDA's present device, once: else the driver loads each kernel when it is first launched. Returns their number.
// Those of warpgroups are a module of their own, which their trial loads.
Result<int> load_cuda_kernels();
constexpr int64_t kMaxCudaHeadDim = 256;  // of attention's tiles

// Bytes make_cuda_ops() wants as workspace, in device memory.
int64_t cuda_workspace_bytes(const OpLimits& limits);
// Work goes to `stream` (a cudaStream_t) in order; nothing waits for it. workspace: 256-byte aligned device memory.
std::unique_ptr<Ops> make_cuda_ops(const OpLimits& limits, void* stream, std::span<std::byte> workspace,
                                   const CudaOptions& options = {});

}  // namespace reform
