// A CUDA device over a CUDA runtime that only pretends (fake_cuda.h), in whatever order that carries things out.
#include <catch2/catch.hpp>
#include <cstring>
#include <map>

#include "base/try.h"
#include "kernels/cuda/cuda_device.h"
#include "tests/kernels/cuda/fake_runtime/fake_cuda.h"
#include "tests/kernels/cuda/fake_runtime/fake_ops.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kSmall = 330 * kMiB;  // beside what the driver takes, a few MiB

std::unique_ptr<Device> opened(int index = 0, int64_t max_bytes = kSmall) {
  auto device = open_cuda_device(index, {.max_bytes = max_bytes});
  INFO(device.status().message);
  REQUIRE(device.ok());
  return std::move(device).value();
}

}  // namespace

TEST_CASE("fake cuda: a device is opened and gives all back", "[kernels][cuda][fake]") {
  for (const Schedule schedule : kSchedules) {
    CAPTURE(name(schedule));
    FakeCuda cuda(schedule);
    {
      const auto device = opened();
      CHECK(cuda.process_bytes(0) <= kSmall);
      CHECK(device->copies()->rates().copy_bytes_per_s == Approx(1e8));
      CHECK(device->copies()->rates().device_bytes_per_s == Approx(4e9));
      CHECK(cuda.is_idle());
    }
    CHECK(cuda.complaints() == "");
  }
}
