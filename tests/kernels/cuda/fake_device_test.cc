// A CUDA device over a fake CUDA runtime (fake_cuda.h). It keeps what device.h promises, in whatever order the runtime
// does the work. And it says why, where a device cannot be had.
#include <cstring>

#include "tests/kernels/cuda/fake_runtime/fake_ops.h"
#include "tests/kernels/cuda/fake_support.h"
#include "tests/kernels/cuda/plain_codes.h"

using namespace reform;
using namespace reform::test;

namespace {

Status refusal(int index, const CudaDeviceOptions& options) { return open_cuda_device(index, options).status(); }

bool says(const Status& status, const std::string& text) {
  INFO(status.message);
  CHECK(status.message.find(text) != std::string::npos);
  return status.message.find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("fake cuda: a device copies, clears and computes in the order it is told", "[kernels][cuda][fake]") {
  for (const Schedule schedule : kSchedules) {
    CAPTURE(name(schedule));
    FakeCuda cuda(schedule, {FakeChip{}, FakeChip{}});
    cuda.fence();
    {
      FakeBench bench(1);
      CHECK(std::string(bench.device->name()) == "cuda:1");
      CHECK(bench.value(bench.x).value() == 0);  // memory is clear, though what lay there was not
      std::vector<float> source(FakeBench::kN, 2);
      REQUIRE(bench.device->to_device(bench.y.data(), source.data(), FakeBench::kN * 4).ok());
      source.assign(source.size(), 1000);  // the copy has read it
      for (int i = 0; i < 3; ++i) bench.add();
      CHECK(bench.value(bench.x).value() == 6);
      bench.device->fill_zero(bench.y.data(), FakeBench::kN * 4);
      bench.add();
      CHECK(bench.value(bench.x).value() == 6);
      bench.device->fill_zero(bench.x.data(), 0);
      CHECK(bench.device->to_device(bench.x.data(), source.data(), 0).ok());
      CHECK(bench.value(bench.x).value() == 6);
      // Memory that is given back is clear when it is taken again, and is cleared after the ops that still used it.
      for (int i = 0; i < 2; ++i) {
        REQUIRE(bench.set(bench.y, 3).ok());
        bench.add();
        float* const before = bench.y.data();
        bench.y.reset();
        bench.y = take(Buffer<float>::create(bench.device->account(), MemoryCategory::kActivations, FakeBench::kN));
        CHECK(bench.y.data() == before);
        CHECK(bench.value(bench.y).value() == 0);
      }
      CHECK(bench.value(bench.x).value() == 12);
    }
    CHECK(cuda.complaints() == "");
    CHECK(cuda.process_bytes(1) == cap_for({}, 0) - kLateMiB * kMiB);
  }
}

TEST_CASE("fake cuda: copies beside the ops are ordered with them both ways", "[kernels][cuda][fake]") {
  constexpr int64_t kBytes = FakeBench::kN * int64_t(sizeof(float));
  for (const Schedule schedule : kSchedules) {
    for (uint64_t seed = 0; seed < (schedule == Schedule::kRandom ? 3u : 1u); ++seed) {
      CAPTURE(name(schedule), seed);
      FakeCuda cuda(schedule, {FakeChip{}}, seed);
      {
        FakeBench bench;
        Copies& copies = *bench.device->copies();
        MemoryAccount host;
        auto in = take(PinnedBuffer::create(copies, host, MemoryCategory::kWeights, kBytes));
        auto out = take(PinnedBuffer::create(copies, host, MemoryCategory::kWeights, kBytes));
        auto* const values = reinterpret_cast<float*>(in.data());
        auto* const seen = reinterpret_cast<float*>(out.data());
        float want = 0;
        int64_t last = -1;
        // More copies than there are events. y is replaced behind each op that reads it.
        for (int64_t i = 0; i < 560; ++i) {
          if (last >= 0) REQUIRE(copies.wait_for(last).ok());
          std::fill(values, values + FakeBench::kN, float(i % 7));
          last = take(copies.start(bench.y.data(), values, kBytes));
          CHECK(last == 2 * i);
          REQUIRE(copies.ops_wait_for(last).ok());
          bench.add();
          want += float(i % 7);
          const int64_t copied = take(copies.start(seen, bench.x.data(), kBytes));
          if (i % 5 == 0) {
            REQUIRE(copies.wait_for(copied).ok());
            CHECK(seen[0] == want);
            CHECK(seen[FakeBench::kN - 1] == want);
          }
          REQUIRE(copies.ops_wait_for(copied).ok());       // the next op changes x
          if (i == 540) REQUIRE(copies.wait_for(0).ok());  // one long past
        }
        CHECK(bench.value(bench.x).value() == want);
      }
      CHECK(cuda.complaints() == "");
    }
  }
}

TEST_CASE("fake cuda: the rates are those of the chip's memory and of the way to it", "[kernels][cuda][fake]") {
  FakeCuda cuda(Schedule::kRandom);
  const FakeBench bench;
  CHECK(bench.device->copies()->copy_bytes_per_s() == Approx(1e8));
  CHECK(bench.device->copies()->device_bytes_per_s() == Approx(4e9));
}

TEST_CASE("fake cuda: the arena is what --max-gpu-memory leaves, and never more", "[kernels][cuda][fake]") {
  FakeChip chip;
  chip.total_bytes = 700 * kMiB;
  const int64_t free_mib = 700 - (chip.others_bytes + chip.driver_bytes + chip.kernel_bytes) / kMiB;
  const int64_t room_mib = free_mib - kLateMiB - kReserveMiB;
  FakeCuda cuda(Schedule::kEarly, {chip});
  const auto arena_mib = [&](int64_t max_bytes) {
    const auto device = open_cuda_device(0, {.max_bytes = max_bytes});
    if (!device.ok()) CHECK(device.status().code == Code::kMemoryCap);
    if (!device.ok()) return int64_t{0};
    CHECK(device.value()->outside_bytes() == chip.driver_bytes + chip.kernel_bytes);
    if (max_bytes > 0) CHECK(cuda.process_bytes(0) + kLateMiB * kMiB <= max_bytes);
    CHECK_FALSE(Buffer<std::byte>::create(device.value()->account(), MemoryCategory::kWeights,
                                          device.value()->account().cap_bytes() + 256)
                    .ok());
    return device.value()->account().cap_bytes() / kMiB;
  };
  CHECK(arena_mib(0) == room_mib);
  CHECK(arena_mib(cap_for(chip, 1)) == 1);
  CHECK(arena_mib(cap_for(chip, room_mib)) == room_mib);
  CHECK(arena_mib(cap_for(chip, room_mib + 1)) == 0);
  CHECK(arena_mib(cap_for(chip, 0)) == 0);
  CHECK(arena_mib(1) == 0);
  const Status refused = refusal(0, {.max_bytes = cap_for(chip, 500)});
  CHECK(says(refused, "cuda:0: --max-gpu-memory 826.0 MiB cannot be had: 420.0 MiB of 700.0 MiB are free"));
  CHECK(says(refused, "the driver takes 326.0 MiB beside what we ask for; between that and 394.0 MiB would fit"));
  cuda.fail("cudaMalloc", 0, cudaErrorMemoryAllocation);
  CHECK(arena_mib(cap_for(chip, 1)) == 0);
  CHECK(arena_mib(cap_for(chip, 1)) == 1);
  CHECK(cuda.complaints() == "");
}

TEST_CASE("fake cuda: where nobody says what is in use, the driver's share is assumed", "[kernels][cuda][fake]") {
  FakeChip chip;
  chip.tells_used = false, chip.total_bytes = 1100 * kMiB;
  FakeCuda cuda(Schedule::kEarly, {chip});
  const auto device = take(open_cuda_device(0, {.max_bytes = 740 * kMiB}));
  CHECK(device->outside_bytes() == 640 * kMiB);
  CHECK(device->account().cap_bytes() == 4 * kMiB);
}

TEST_CASE("fake cuda: what cannot be had is said, and what the program can do", "[kernels][cuda][fake]") {
  const Status no_driver = refusal(0, {});  // with no fake runtime there is no driver
  CHECK(no_driver.code == Code::kUnavailable);
  CHECK(says(no_driver, "there is no NVIDIA driver here, or one older than CUDA 13.0 takes; --device cpu runs"));
  CHECK(list_cuda_chips().empty());
  {
    FakeCuda cuda(Schedule::kEarly, {});
    CHECK(says(refusal(0, {}), "there is no CUDA device 0: none seen; --device cpu runs without one"));
    cuda.fail("cudaGetDeviceCount", 0);
    CHECK(says(refusal(0, {}), "CUDA: some other error; --device cpu runs without it"));
  }
  FakeChip turing, ampere;
  turing.name = "Old", turing.major = 7, turing.minor = 5;
  ampere.name = "Older", ampere.major = 8, ampere.minor = 6;
  FakeCuda cuda(Schedule::kEarly, {turing, ampere});
  CHECK(says(refusal(0, {}), "cuda:0: Old has compute capability 7.5; 8.0 is the oldest that is supported"));
  CHECK(says(refusal(1, {.fp8 = true}), "cuda:1: Older has compute capability 8.6; --gpu-products fp8 needs 8.9"));
  CHECK(says(refusal(2, {}), "there is no CUDA device 2: 2 seen"));
  CHECK(says(refusal(1, {.max_bytes = cap_for({}, 1), .cublas_lt = "/no"}), "/no: is not a cuBLASLt that works here"));
  const std::vector<CudaChip> chips = list_cuda_chips();
  REQUIRE(chips.size() == 2);
  CHECK(chips[1].name == "Older");
  CHECK(chips[1].major * 10 + chips[1].minor == 86);
  CHECK(chips[1].total_bytes == ampere.total_bytes);
  CHECK(cuda.complaints() == "");
}

TEST_CASE("fake cuda: FP8 products are there where a library makes them right", "[kernels][cuda][fake]") {
  for (const Schedule schedule : kSchedules) {
    CAPTURE(name(schedule));
    FakeCuda cuda(schedule);
    const CudaDeviceOptions options{.max_bytes = cap_for({}, 1), .fp8 = true};
    CHECK(says(refusal(0, options), "--gpu-products fp8 needs cuBLASLt, and none was found (--cublas-lt)"));
    const FakeLibrary right([](const std::string&) { return in_stream_order(std::make_shared<PlainCodes>()); });
    CHECK(open_cuda_device(0, options).ok());
    CHECK(cuda.complaints() == "");
  }
  struct Wrong final : cuda::ProductLibrary {
    const char* name() const override { return "wrong"; }
    bool multiply(const cuda::ProductCall&, void*, std::span<std::byte>) override { return true; }
    bool multiply_codes(const cuda::CodeProductCall&, void*, std::span<std::byte>) override { return true; }
  };
  FakeCuda cuda;
  const FakeLibrary wrong([](const std::string&) { return in_stream_order(std::make_shared<Wrong>()); });
  CHECK(says(refusal(0, {.max_bytes = cap_for({}, 1), .fp8 = true}), "wrong does not multiply FP8 matrices here"));
  CHECK(cuda.complaints() == "");
}
