#include "tests/kernels/cuda/emulated_ops.h"

#include "tests/kernels/cuda/emulated_kernels.h"

namespace reform::test {
namespace {

constexpr uint64_t kNans = ~uint64_t{0};  // scratch is never assumed to be zero
constexpr int64_t kGuardWords = 64;

}  // namespace

EmulatedCuda::EmulatedCuda(const OpLimits& limits, const CudaOptions& options)
    : workspace_bytes_(emulated_workspace_bytes(limits)) {
  memory_.assign(size_t(workspace_bytes_ / 8 + kGuardWords + 32), kNans);
  auto address = reinterpret_cast<uintptr_t>(memory_.data());
  auto* begin = reinterpret_cast<std::byte*>((address + 255) / 256 * 256);
  ops_ = make_emulated_ops(limits, nullptr, std::span(begin, size_t(workspace_bytes_)), options);
}

bool EmulatedCuda::guards_hold() const {
  return std::all_of(memory_.end() - kGuardWords, memory_.end(), [](uint64_t w) { return w == kNans; });
}

}  // namespace reform::test
