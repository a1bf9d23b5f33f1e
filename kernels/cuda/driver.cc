#include "kernels/cuda/driver.h"

#include <cuda.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <memory>
#include <vector>

#include "base/try.h"

namespace reform {
namespace {

Status failed(const char* doing) {
  (void)cudaGetLastError();
  return {Code::kUnavailable, fmt::format("CUDA: {} failed", doing)};
}

// A function of the driver, looked up at run time. The program does not link the driver, so it starts where there is
// none.
template <class Fn>
Status find(const char* name, Fn& fn) {
  constexpr unsigned kSince = 12050;  // the first version that has all we look up (cuKernelGetLibrary is the newest)
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
  const cudaError_t error = cudaGetDriverEntryPointByVersion(name, &found, kSince, cudaEnableDefault, &result);
  if (error != cudaSuccess || result != cudaDriverEntryPointSuccess || found == nullptr) return failed(name);
  fn = reinterpret_cast<Fn>(found);
  return {};
}

// The part of NVML's C interface that we use. Only the driver's development files have its header.
struct NvmlMemory {
  unsigned long long total, free, used;
};
using NvmlDevice = struct NvmlDeviceTag*;

struct CloseLibrary {
  void operator()(void* library) const noexcept { dlclose(library); }
};

}  // namespace

Result<int> load_kernels_beside(const void* kernel) {
  decltype(&cuKernelGetLibrary) library_of = nullptr;
  decltype(&cuLibraryGetKernelCount) count = nullptr;
  decltype(&cuLibraryEnumerateKernels) enumerate = nullptr;
  decltype(&cuKernelGetFunction) function_of = nullptr;
  decltype(&cuFuncLoad) load = nullptr;
  TRY(find("cuKernelGetLibrary", library_of));
  TRY(find("cuLibraryGetKernelCount", count));
  TRY(find("cuLibraryEnumerateKernels", enumerate));
  TRY(find("cuKernelGetFunction", function_of));
  TRY(find("cuFuncLoad", load));

  cudaKernel_t one = nullptr;
  CUlibrary library = nullptr;
  unsigned n = 0;
  if (cudaGetKernel(&one, kernel) != cudaSuccess) return failed("finding a kernel");
  if (library_of(&library, one) != CUDA_SUCCESS) return failed("finding the kernels' module");
  if (count(&n, library) != CUDA_SUCCESS) return failed("counting kernels");
  std::vector<CUkernel> kernels(n);
  if (enumerate(kernels.data(), n, library) != CUDA_SUCCESS) return failed("listing kernels");
  for (const CUkernel k : kernels) {
    CUfunction function = nullptr;
    if (function_of(&function, k) != CUDA_SUCCESS || load(function) != CUDA_SUCCESS) return failed("loading a kernel");
  }
  return int(n);
}

std::optional<int64_t> used_bytes_of_chip(int index) {
  char pci[32] = {};
  if (cudaDeviceGetPCIBusId(pci, sizeof pci, index) != cudaSuccess) {
    (void)cudaGetLastError();
    return {};
  }
  const std::unique_ptr<void, CloseLibrary> library(dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL));
  if (library == nullptr) return {};
  const auto symbol = [&](auto& fn, const char* name) {
    fn = reinterpret_cast<std::remove_reference_t<decltype(fn)>>(dlsym(library.get(), name));
    return fn != nullptr;
  };
  int (*init)() = nullptr, (*shutdown)() = nullptr;
  int (*handle_of)(const char*, NvmlDevice*) = nullptr;
  int (*memory_of)(NvmlDevice, NvmlMemory*) = nullptr;
  if (!symbol(init, "nvmlInit_v2") || !symbol(shutdown, "nvmlShutdown") ||
      !symbol(handle_of, "nvmlDeviceGetHandleByPciBusId_v2") || !symbol(memory_of, "nvmlDeviceGetMemoryInfo")) {
    return {};
  }
  if (init() != 0) return {};
  NvmlDevice chip = nullptr;
  NvmlMemory memory{};
  const bool known = handle_of(pci, &chip) == 0 && memory_of(chip, &memory) == 0;
  shutdown();
  if (!known) return {};
  return int64_t(memory.used);
}

}  // namespace reform
