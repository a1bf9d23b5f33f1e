#include "runtime/device_choice.h"

#include <fmt/format.h>

#include <charconv>

#include "base/try.h"
#ifdef REFORM_CUDA
#include "kernels/cuda/cuda_device.h"
#endif

namespace reform {
namespace {

#ifdef REFORM_CUDA
Result<std::unique_ptr<Device>> open_cuda(int index, int64_t max_bytes) { return open_cuda_device(index, max_bytes); }
// The first that we support, or -1.
int first_chip() {
  for (const CudaChip& chip : list_cuda_chips()) {
    if (chip.major >= kOldestCudaMajor) return chip.index;
  }
  return -1;
}
#else
Result<std::unique_ptr<Device>> open_cuda(int /*index*/, int64_t /*max_bytes*/) {
  return Status{Code::kUnavailable, "this reform was built without CUDA (docs/CUDA.md); --device cpu runs without it"};
}
int first_chip() { return -1; }
#endif

}  // namespace

bool cuda_built_in() {
#ifdef REFORM_CUDA
  return true;
#else
  return false;
#endif
}

Result<DeviceName> parse_device_name(const std::string& text) {
  using Kind = DeviceName::Kind;
  if (text.empty() || text == "cpu") return DeviceName{Kind::kCpu, 0};
  if (text == "auto") return DeviceName{Kind::kAuto, 0};
  constexpr std::string_view kCuda = "cuda:";
  if (text.starts_with(kCuda)) {
    int index = -1;
    const char *begin = text.data() + kCuda.size(), *end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(begin, end, index);
    if (error == std::errc() && rest == end && index >= 0) return DeviceName{Kind::kCuda, index};
  }
  return Status{Code::kUsage, fmt::format("unknown device '{}'; expected cpu, auto, or cuda:0 and so on", text)};
}

Result<std::unique_ptr<Device>> open_device(const EngineOptions& options, Isa isa, ThreadPool& pool,
                                            MemoryAccount& account) {
  TRY_ASSIGN(const DeviceName wanted, parse_device_name(options.device));
  int index = -1;
  if (wanted.kind == DeviceName::Kind::kCuda) index = wanted.index;
  if (wanted.kind == DeviceName::Kind::kAuto) index = first_chip();
  if (index < 0) return make_cpu_device(isa, pool, account);
  return open_cuda(index, options.max_gpu_memory_bytes);
}

}  // namespace reform
