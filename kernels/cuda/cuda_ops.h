// The op list on a CUDA device. These ops take pointers to the device's memory; they copy HostSpans and a Rope's
// frequencies from the host.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <memory>
#include <span>

#include "kernels/cuda/product_library.h"
#include "kernels/ops.h"

namespace reform {

struct CudaOptions {
  // Multiplies the matrices that it can; outlives the ops. Null: our own kernels multiply.
  cuda::ProductLibrary* products = nullptr;
  // Counts the writes to the device's memory that these ops do not make: copies and fills from the host, memory that
  // changes hands, a graph's replay. While the count stays the same, a product may reuse what an earlier op made of its
  // activations. Outlives the ops. Null: nothing is kept from op to op.
  const int64_t* outside_writes = nullptr;
  // Attention of many rows with a warpgroup's products (warpgroup.cuh).
  bool warpgroups = false;
};

// Loads all kernels for CUDA's current device and returns their number. Otherwise the driver loads each at its first
// launch. The warpgroups' kernels are a module of their own, loaded when they are tried.
Result<int> load_cuda_kernels();
constexpr int64_t kMaxCudaHeadDim = 256;  // the largest of attention's tiles

// The bytes of device memory that make_cuda_ops() wants as workspace.
int64_t cuda_workspace_bytes(const OpLimits& limits);
// Issues work to `stream` (a cudaStream_t) in order and never waits for it. workspace: 256-byte aligned device memory.
std::unique_ptr<Ops> make_cuda_ops(const OpLimits& limits, void* stream, std::span<std::byte> workspace,
                                   const CudaOptions& options = {});

}  // namespace reform
