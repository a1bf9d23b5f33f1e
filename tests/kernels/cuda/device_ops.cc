#include "tests/kernels/cuda/device_ops.h"

#include "base/try.h"
#include "tests/support/gpu.h"

#ifndef REFORM_CUDA

namespace reform::test {

std::unique_ptr<Ops> device_ops(const OpLimits&, const CudaOptions&) {
  CHECK(!gpu_needed());
  return nullptr;
}

}  // namespace reform::test

#else

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "kernels/forwarding_ops.h"

namespace reform::test {
namespace {

void must(cudaError_t error) {
  if (error != cudaSuccess) std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(error));
  CHECK(error == cudaSuccess);
}

class DeviceMemory {
 public:
  explicit DeviceMemory(int64_t bytes) { must(cudaMalloc(&data_, size_t(std::max<int64_t>(bytes, 256)))); }
  ~DeviceMemory() { cudaFree(data_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  void* data_ = nullptr;
};

// Copies an op's arguments to the device, and back when the op is done.
class StagedOps final : public ForwardingOps {
 public:
  // `workspace`: the ops', freed with them.
  StagedOps(std::unique_ptr<Ops> ops, std::unique_ptr<DeviceMemory> workspace)
      : ForwardingOps(std::move(ops)), workspace_(std::move(workspace)) {}

 private:
  struct Piece {
    std::byte* host;
    int64_t bytes;
    bool is_const;
    std::unique_ptr<DeviceMemory> memory;
  };

  void* operand(void* data, int64_t bytes, bool is_const) override {
    if (bytes <= 0) return nullptr;
    auto* const host = static_cast<std::byte*>(data);
    for (Piece& p : pieces_) {  // ops in place get the same memory twice
      if (p.host != host || p.bytes != bytes) continue;
      p.is_const = p.is_const && is_const;
      return p.memory->data();
    }
    pieces_.push_back({host, bytes, is_const, std::make_unique<DeviceMemory>(bytes)});
    std::byte* const to = pieces_.back().memory->data();
    must(cudaMemcpy(to, host, size_t(bytes), cudaMemcpyHostToDevice));
    return to;
  }
  void end() override {
    must(cudaGetLastError());  // a launch that the chip refused; the next call would not report it
    must(cudaDeviceSynchronize());
    for (const Piece& p : pieces_) {
      if (!p.is_const) must(cudaMemcpy(p.host, p.memory->data(), size_t(p.bytes), cudaMemcpyDeviceToHost));
    }
    pieces_.clear();
  }

  const std::unique_ptr<DeviceMemory> workspace_;
  std::vector<Piece> pieces_;
};

}  // namespace

bool chip_has_warpgroups() {
#ifdef REFORM_CUDA_90A
  cudaDeviceProp chip;
  return cudaGetDeviceProperties(&chip, 0) == cudaSuccess && chip.major == 9 && chip.minor == 0;
#else
  return false;  // this build has none
#endif
}

std::unique_ptr<Ops> device_ops(const OpLimits& limits, const CudaOptions& options) {
  int n_devices = 0;
  if (cudaGetDeviceCount(&n_devices) != cudaSuccess || n_devices == 0) {
    CHECK(!gpu_needed());
    return nullptr;
  }
  if (options.warpgroups && !chip_has_warpgroups()) return nullptr;
  const auto bytes = size_t(cuda_workspace_bytes(limits));
  auto workspace = std::make_unique<DeviceMemory>(int64_t(bytes));
  must(cudaMemset(workspace->data(), 0xff, bytes));  // scratch is never assumed to be zero
  auto ops = make_cuda_ops(limits, nullptr, {workspace->data(), bytes}, options);
  return std::make_unique<StagedOps>(std::move(ops), std::move(workspace));
}

}  // namespace reform::test

#endif
