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
bool has_cuda_chip() { return !list_cuda_chips().empty(); }
#else
Result<std::unique_ptr<Device>> open_cuda(int /*index*/, int64_t /*max_bytes*/) {
  return Status{Code::kUnavailable, "this reform was built without CUDA (docs/CUDA.md); --device cpu runs without it"};
}
bool has_cuda_chip() { return false; }
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
  const bool on_gpu =
      wanted.kind == DeviceName::Kind::kCuda || (wanted.kind == DeviceName::Kind::kAuto && has_cuda_chip());
  if (on_gpu) return open_cuda(wanted.index, options.max_gpu_memory_bytes);
  return make_cpu_device(isa, pool, account);
}

}  // namespace reform
