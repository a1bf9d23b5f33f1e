#include "runtime/engine/device_choice.h"

#include <fmt/format.h>
#include <reform/units.h>

#include <charconv>
#include <vector>

#include "base/try.h"
#include "kernels/cuda/cuda_device.h"
#include "runtime/model/weights/source.h"

namespace reform {
namespace {

#ifdef REFORM_CUDA
constexpr bool kCudaBuiltIn = true;
#else
constexpr bool kCudaBuiltIn = false;  // nothing of cuda_device.h may be called: nothing defines it
#endif

constexpr int kCpu = -1, kAuto = -2;

// kCpu, kAuto, or the index of a CUDA device.
Result<int> parse_device(const std::string& text) {
  if (text.empty() || text == "cpu") return kCpu;
  if (text == "auto") return kAuto;
  constexpr std::string_view kCuda = "cuda:";
  if (text.starts_with(kCuda)) {
    int index = -1;
    const char *begin = text.data() + kCuda.size(), *end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(begin, end, index);
    if (error == std::errc() && rest == end && index >= 0) return index;
  }
  return Status{Code::kUsage, fmt::format("unknown device '{}'; expected cpu, auto, or cuda:0 and so on", text)};
}

// Whether products are FP8.
Result<bool> parse_gpu_products(const std::string& text) {
  if (text.empty() || text == "half") return false;
  if (text == "fp8") return true;
  return Status{Code::kUsage, fmt::format("unknown GPU products '{}'; expected half or fp8", text)};
}

// Whether attention may use warpgroups.
Result<bool> parse_gpu_attention(const std::string& text) {
  if (text.empty() || text == "auto") return true;
  if (text == "warps") return false;
  return Status{Code::kUsage, fmt::format("unknown GPU attention '{}'; expected auto or warps", text)};
}

// Those that have no effect on the CPU, as in "--gpu-weights, --cublas-lt". --gpu-products fp8 is refused there, and
// half is what the CPU does anyway.
std::string unused_on_cpu(const EngineOptions& options) {
  std::vector<std::string> names = given_gpu_options(options);
  std::erase(names, "--gpu-products");
  return fmt::format("{}", fmt::join(names, ", "));
}

// The first chip that we support; or kCpu, and the reason in `why_none`.
int first_chip(std::string& why_none) {
  why_none = kCudaBuiltIn ? "no GPU is seen" : "this reform was built without CUDA";
  std::string too_old;
  std::vector<CudaChip> chips;
  if constexpr (kCudaBuiltIn) chips = list_cuda_chips();
  for (const CudaChip& chip : chips) {
    if (chip.major >= kOldestCudaMajor) return chip.index;
    too_old += fmt::format("{}{} has compute capability {}.{}", too_old.empty() ? "" : ", ", chip.name, chip.major,
                           chip.minor);
  }
  if (!too_old.empty()) why_none = fmt::format("{}; {}.0 is the oldest supported", too_old, kOldestCudaMajor);
  return kCpu;
}

Result<std::unique_ptr<Device>> open_cuda(int index, const CudaDeviceOptions& options) {
  if constexpr (kCudaBuiltIn) return open_cuda_device(index, options);
  return Status{Code::kUnavailable, "this reform was built without CUDA (docs/CUDA.md); --device cpu runs without it"};
}

}  // namespace

bool cuda_built_in() { return kCudaBuiltIn; }

std::vector<std::string> given_gpu_options(const EngineOptions& options) {
  std::vector<std::string> names;
  if (options.max_gpu_memory_bytes != 0) names.emplace_back("--max-gpu-memory");
  if (!options.gpu_weights.empty()) names.emplace_back("--gpu-weights");
  if (!options.gpu_products.empty()) names.emplace_back("--gpu-products");
  if (!options.gpu_attention.empty()) names.emplace_back("--gpu-attention");
  if (!options.cublas_lt_file.empty()) names.emplace_back("--cublas-lt");
  return names;
}

Status check_device_options(const EngineOptions& options) {
  TRY(parse_device(options.device));
  TRY(parse_weight_place(options.gpu_weights));
  TRY(parse_gpu_products(options.gpu_products));
  TRY(parse_gpu_attention(options.gpu_attention));
  return {};
}

Result<std::unique_ptr<Device>> open_device(const EngineOptions& options, Isa isa, ThreadPool& pool,
                                            MemoryAccount& account, const LogCallback& log) {
  TRY_ASSIGN(int index, parse_device(options.device));
  TRY_ASSIGN(const bool fp8, parse_gpu_products(options.gpu_products));
  TRY_ASSIGN(const bool warpgroups, parse_gpu_attention(options.gpu_attention));
  std::string remark;
  if (index == kAuto) {
    std::string why_none;
    index = first_chip(why_none);
    if (index < 0) remark = fmt::format("the model runs on the CPU: {}", why_none);
  }
  if (index < 0 && fp8) {
    return Status{Code::kUnavailable, fmt::format("--gpu-products fp8 is for a GPU{}; leave it out",
                                                  remark.empty() ? " (--device cuda:0)" : ", and " + remark)};
  }
  if (index < 0) {
    if (const std::string unused = unused_on_cpu(options); !unused.empty()) {
      if (remark.empty()) remark = "the model runs on the CPU";
      remark += fmt::format("; ignored there: {}", unused);
    }
    if (log && !remark.empty()) log(LogLevel::kInfo, remark);
    return make_cpu_device(isa, pool, account);
  }
  TRY_ASSIGN(auto device, open_cuda(index, {.max_bytes = options.max_gpu_memory_bytes,
                                            .cublas_lt = options.cublas_lt_file,
                                            .fp8 = fp8,
                                            .warpgroups = warpgroups}));
  const std::string library = device->product_library();
  if (log) {
    log(LogLevel::kInfo,
        fmt::format("the model runs on {}: {} of its memory are reserved for it, the driver uses {} more; matrices are "
                    "multiplied by {}{}, attention uses {}",
                    device->name(), format_bytes(device->account().cap_bytes()), format_bytes(device->outside_bytes()),
                    library.empty() ? "our own kernels, as no cuBLASLt was found (--cublas-lt)" : library,
                    fp8 ? ", as FP8 while a text is read" : "", device->attention()));
  }
  return device;
}

}  // namespace reform
