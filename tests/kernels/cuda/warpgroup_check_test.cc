#include "kernels/cuda/warpgroup_check.h"

#include <catch2/catch.hpp>

#include "tests/kernels/cuda/emulated.h"
#include "tests/kernels/cuda/emulated_kernels.h"

namespace reform::test {
namespace {

// The host's memory as a device, with the workspace size of CUDA's ops.
class HostDevice final : public Device {
 public:
  const char* name() const override { return "host"; }
  MemoryAccount& account() override { return account_; }
  bool is_host() const override { return true; }
  int64_t block_tokens() const override { return 512; }
  int64_t workspace_bytes(const OpLimits& limits) const override { return emulated_workspace_bytes(limits); }
  std::unique_ptr<Ops> make_ops(const OpLimits&, std::span<std::byte>) override { return nullptr; }
  Status to_device(void* to, const void* from, int64_t bytes) override { return copy(to, from, bytes); }
  Status to_host(void* to, const void* from, int64_t bytes) override { return copy(to, from, bytes); }
  void fill_zero(void* to, int64_t bytes) override { std::memset(to, 0, size_t(bytes)); }

  int n_refused = 0;  // how many of the next copies fail

 private:
  Status copy(void* to, const void* from, int64_t bytes) {
    if (n_refused > 0) {
      --n_refused;
      return {Code::kUnavailable, "it was refused"};
    }
    std::memcpy(to, from, size_t(bytes));
    return {};
  }
  MemoryAccount account_;
};

TEST_CASE("warpgroups are tried, and used if they give what warps give", "[kernels][cuda]") {
  constexpr WarpgroupTrial kTrial{.n_tokens = 70, .n_keys = 200, .n_heads = 2};
  std::vector<uint64_t> storage((int64_t{320} << 20) / 8);
  auto* const begin = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(storage.data()) + 255) / 256 * 256);
  const std::span<std::byte> memory(begin, (int64_t{300} << 20));
  HostDevice device;
  enum class Chip { kSound, kEmpty, kRefuses, kFails };
  const auto tried = [&](Chip chip, std::span<std::byte> room) {
    return attends_by_warpgroups(
        device, room,
        [&](const OpLimits& limits, std::span<std::byte> workspace, bool warpgroups) -> std::unique_ptr<Ops> {
          if (warpgroups && chip == Chip::kRefuses) device.n_refused = 1;
          if (warpgroups && chip == Chip::kFails) device.n_refused = 1 << 30;
          const bool skipped = warpgroups && chip == Chip::kEmpty;
          cuda::emulated::on_launch =
              skipped ? [](void*, const void*, const std::function<void()>&) {} : decltype(cuda::emulated::on_launch)();
          return make_emulated_ops(limits, nullptr, workspace, CudaOptions{nullptr, nullptr, warpgroups});
        },
        kTrial);
  };
  CHECK(tried(Chip::kSound, memory).value());
  CHECK_FALSE(tried(Chip::kSound, memory.first(1 << 20)).value());
  CHECK_FALSE(tried(Chip::kEmpty, memory).value());
  cuda::emulated::on_launch = nullptr;
  CHECK_FALSE(tried(Chip::kRefuses, memory).value());
  CHECK(tried(Chip::kFails, memory).status().code == Code::kUnavailable);
}

}  // namespace
}  // namespace reform::test
