#include "bench/gpu/peaks.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>

#include "base/float16.h"
#include "base/try.h"
#include "bench/gpu/read_memory.h"
#include "kernels/cuda/cublas_lt.h"

namespace reform::bench {
namespace {

constexpr int64_t kMostBytes = int64_t{2} << 30;
constexpr int64_t kLinkBytes = int64_t{256} << 20;
constexpr int kRuns = 9;

Status checked(cudaError_t error, const char* doing) {
  if (error == cudaSuccess) return {};
  (void)cudaGetLastError();
  return {Code::kUnavailable, fmt::format("{}: {}", doing, cudaGetErrorString(error))};
}

struct FreeDevice {
  void operator()(void* p) const noexcept { cudaFree(p); }
};
struct FreeHost {
  void operator()(void* p) const noexcept { cudaFreeHost(p); }
};

Result<std::unique_ptr<void, FreeDevice>> device_memory(int64_t bytes) {
  void* data = nullptr;
  TRY(checked(cudaMalloc(&data, size_t(bytes)), "taking memory"));
  return std::unique_ptr<void, FreeDevice>(data);
}

// 10^9 units per second: the median of kRuns, after one that is not counted.
Result<double> rate_of(double units, const std::function<cudaError_t()>& start) {
  std::vector<double> seconds;
  for (int i = 0; i <= kRuns; ++i) {
    const auto begun = std::chrono::steady_clock::now();
    TRY(checked(start(), "measuring"));
    TRY(checked(cudaStreamSynchronize(nullptr), "measuring"));
    if (i > 0) seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
  }
  std::ranges::sort(seconds);
  return units / seconds[kRuns / 2] / 1e9;
}

Status measure_memory(GpuPeaks& peaks, int n_multiprocessors) {
  size_t free_bytes = 0, total_bytes = 0;
  TRY(checked(cudaMemGetInfo(&free_bytes, &total_bytes), "looking at the memory"));
  const int64_t bytes = std::min<int64_t>(kMostBytes, int64_t(free_bytes) / 4) / 4096 * 4096;
  TRY_ASSIGN(const auto a, device_memory(bytes));
  TRY_ASSIGN(const auto b, device_memory(bytes));
  TRY(checked(cudaMemset(a.get(), 1, size_t(bytes)), "clearing memory"));
  TRY_ASSIGN(const double read, rate_of(double(bytes), [&] {
               launch_read(a.get(), bytes, static_cast<uint32_t*>(b.get()), n_multiprocessors, nullptr);
               return cudaGetLastError();
             }));
  TRY_ASSIGN(const double copy, rate_of(2.0 * double(bytes), [&] {
               return cudaMemcpyAsync(b.get(), a.get(), size_t(bytes), cudaMemcpyDeviceToDevice, nullptr);
             }));
  peaks.values.emplace_back("read_gbs", read);
  peaks.values.emplace_back("copy_gbs", copy);
  return {};
}

Status measure_link(GpuPeaks& peaks) {
  TRY_ASSIGN(const auto there, device_memory(kLinkBytes));
  void* data = nullptr;
  TRY(checked(cudaHostAlloc(&data, size_t(kLinkBytes), cudaHostAllocDefault), "taking pinned memory"));
  const std::unique_ptr<void, FreeHost> pinned(data);
  std::vector<std::byte> pageable(static_cast<size_t>(kLinkBytes), std::byte{1});
  std::memset(pinned.get(), 1, size_t(kLinkBytes));
  const auto add = [&](const char* name, void* to, const void* from, cudaMemcpyKind kind) -> Status {
    TRY_ASSIGN(const double rate, rate_of(double(kLinkBytes), [&] {
                 return cudaMemcpyAsync(to, from, size_t(kLinkBytes), kind, nullptr);
               }));
    peaks.values.emplace_back(name, rate);
    return {};
  };
  TRY(add("host_to_device_pinned_gbs", there.get(), pinned.get(), cudaMemcpyHostToDevice));
  TRY(add("device_to_host_pinned_gbs", pinned.get(), there.get(), cudaMemcpyDeviceToHost));
  TRY(add("host_to_device_pageable_gbs", there.get(), pageable.data(), cudaMemcpyHostToDevice));
  return add("device_to_host_pageable_gbs", pageable.data(), there.get(), cudaMemcpyDeviceToHost);
}

// A square product by cuBLASLt; nothing without the library.
Status measure_product(GpuPeaks& peaks) {
  constexpr int64_t kSize = 8192, kWorkspaceBytes = int64_t{32} << 20;
  const auto library = load_cublas_lt("");
  if (library == nullptr) return {};
  // Not zeros: a chip's clocks depend on how many bits change.
  std::vector<uint16_t> values(static_cast<size_t>(kSize * kSize));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = f32_to_bf16(float(int(i * 2654435761u >> 7) % 1001 - 500) * 1e-3f);
  const int64_t bytes = int64_t(values.size() * sizeof(values[0]));
  TRY_ASSIGN(const auto x, device_memory(bytes));
  TRY_ASSIGN(const auto w, device_memory(bytes));
  TRY_ASSIGN(const auto y, device_memory(2 * bytes));
  TRY_ASSIGN(const auto workspace, device_memory(kWorkspaceBytes));
  for (void* to : {x.get(), w.get()}) {
    TRY(checked(cudaMemcpy(to, values.data(), size_t(bytes), cudaMemcpyHostToDevice), "copying matrices"));
  }
  cuda::ProductCall call{.element = cuda::Element::kBf16};
  call.x = static_cast<const uint16_t*>(x.get()), call.w = static_cast<const uint16_t*>(w.get());
  call.y = static_cast<float*>(y.get());
  call.n_tokens = call.n_rows = call.depth = call.x_stride = call.w_stride = call.y_stride = kSize;
  constexpr int kCalls = 10;  // enough that the wait for them does not matter
  bool done = true;
  TRY_ASSIGN(
      const double rate, rate_of(double(kCalls) * 2 * double(kSize) * double(kSize) * double(kSize), [&] {
        for (int i = 0; i < kCalls; ++i) {
          done &= library->multiply(call, nullptr, {static_cast<std::byte*>(workspace.get()), size_t(kWorkspaceBytes)});
        }
        return cudaGetLastError();
      }));
  if (!done) return {};
  peaks.values.emplace_back("dense_bf16_tflops", rate / 1e3);
  peaks.dense_by = library->name();
  return {};
}

}  // namespace

Result<GpuPeaks> measure_gpu_peaks(int index) {
  TRY(checked(cudaSetDevice(index), "opening the device"));
  int n_multiprocessors = 0;
  TRY(checked(cudaDeviceGetAttribute(&n_multiprocessors, cudaDevAttrMultiProcessorCount, index), "asking the device"));
  GpuPeaks peaks;
  TRY(measure_memory(peaks, n_multiprocessors));
  TRY(measure_link(peaks));
  TRY(measure_product(peaks));
  return peaks;
}

}  // namespace reform::bench
