// A CUDA device over the fake runtime, with a few ops on a few numbers.
#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/cuda_device.h"
#include "tests/kernels/cuda/fake_runtime/fake_cuda.h"
#include "tests/support/take.h"

namespace reform::test {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kLateMiB = 96, kReserveMiB = 256;  // as in cuda_device.cc

// What the process has in all when the arena has `arena_mib`.
inline int64_t cap_for(const FakeChip& chip, int64_t arena_mib) {
  return chip.driver_bytes + chip.kernel_bytes + (kLateMiB + arena_mib) * kMiB;
}

// x [1, n] and y [1, n], and ops on them.
struct FakeBench {
  static constexpr int64_t kN = 40;
  explicit FakeBench(int index = 0)
      : device(take(open_cuda_device(index, {.max_bytes = cap_for({}, 2)}))),
        workspace(take(Buffer<std::byte>::create(device->account(), MemoryCategory::kWorkspace,
                                                 device->workspace_bytes(kLimits)))),
        ops(device->make_ops(kLimits, workspace.span())),
        x(take(Buffer<float>::create(device->account(), MemoryCategory::kActivations, kN))),
        y(take(Buffer<float>::create(device->account(), MemoryCategory::kActivations, kN))) {}

  MatView<float> view(Buffer<float>& b) const { return {b.data(), 1, kN}; }
  void add() { ops->add(view(x), view(y)); }  // x += y
  Status set(Buffer<float>& b, float value) {
    return device->to_device(b.data(), std::vector<float>(kN, value).data(), kN * int64_t(sizeof(float)));
  }
  // The number that all elements must equal.
  Result<float> value(const Buffer<float>& b) {
    std::vector<float> seen(kN, -1);
    TRY(device->to_host(seen.data(), b.data(), kN * int64_t(sizeof(float))));
    for (float v : seen) CHECK(v == seen[0]);
    return seen[0];
  }

  static constexpr OpLimits kLimits{4, kN, 16, 2, 1, 8};
  std::unique_ptr<Device> device;
  Buffer<std::byte> workspace;
  std::unique_ptr<Ops> ops;
  Buffer<float> x, y;
};

}  // namespace reform::test
