// A CUDA device whose driver refuses a call, or whose chip fails: one clear error, and nothing is left behind.
#include <map>

#include "tests/kernels/cuda/fake_support.h"

using namespace reform;
using namespace reform::test;

namespace {

// Every function that opening a device calls.
const std::vector<std::string> kOpening = {"cudaGetDeviceCount",   "cudaGetDeviceProperties",
                                           "cudaSetDevice",        "cudaStreamCreateWithFlags",
                                           "cudaMemGetInfo",       "cudaMalloc",
                                           "cudaHostAlloc",        "cudaEventCreateWithFlags",
                                           "cudaEventRecord",      "cudaEventSynchronize",
                                           "cudaEventElapsedTime", "cudaMemcpyAsync",
                                           "cudaStreamWaitEvent",  "cuFuncLoad"};

}  // namespace

TEST_CASE("fake cuda: any call that is refused while a device is opened is a clear error", "[kernels][cuda][fake]") {
  const CudaDeviceOptions options{.max_bytes = cap_for({}, 1)};
  FakeCuda cuda(Schedule::kLate);
  std::map<std::string, int64_t> n_calls;
  REQUIRE(open_cuda_device(0, options).ok());
  for (const std::string& function : kOpening) n_calls[function] = cuda.n_calls(function);
  int n_refused = 0;
  for (const auto& [function, n_of_one] : n_calls) {
    CHECK((n_of_one > 0 || function == "cudaStreamWaitEvent"));
    for (int64_t n = 0; n < n_of_one; ++n) {
      if (n > 3 && n < n_of_one - 3 && n % 97 != 0) continue;
      CAPTURE(function, n);
      cuda.fail(function, n);
      const auto device = open_cuda_device(0, options);
      cuda.heal();
      if (!device.ok()) {
        ++n_refused;
        INFO(device.status().message);
        const bool expected = device.status().code == Code::kUnavailable || device.status().code == Code::kMemoryCap;
        CHECK(expected);
        CHECK(cuda.complaints() == "");
      }
      // The earlier refusal does not matter now.
      const Status next = open_cuda_device(0, options).status();
      INFO(next.message);
      CHECK(next.ok());
    }
  }
  CHECK(n_refused > 20);
  CHECK(cuda.complaints() == "");
}

TEST_CASE("fake cuda: a chip that fails is an error of the next copy, and of all that follow",
          "[kernels][cuda][fake]") {
  for (const Schedule schedule : kSchedules) {
    for (const bool in_step : {false, true}) {
      CAPTURE(name(schedule), in_step);
      FakeCuda cuda(schedule);
      {
        FakeBench bench;
        MemoryAccount host;
        auto pinned = take(PinnedBuffer::create(*bench.device->copies(), host, MemoryCategory::kWeights, 64));
        cuda.fault_at_kernel(1);
        const auto issue = [&] {
          for (int i = 0; i < 3; ++i) bench.add();
          return Status{};
        };
        const Status issued = in_step ? bench.device->run_step(StepKind::kBest, *bench.ops, issue) : issue();
        CHECK((issued.ok() || issued.code == Code::kUnavailable));
        const auto seen = bench.value(bench.x);
        CHECK(seen.status().code == Code::kUnavailable);
        CHECK(seen.status().message.find("cuda:0: ") == 0);
        CHECK(seen.status().message.find("an illegal memory access was encountered") != std::string::npos);
        CHECK(bench.set(bench.x, 1).code == Code::kUnavailable);
        CHECK(bench.device->copies()->start(bench.x.data(), pinned.data(), 64).status().code == Code::kUnavailable);
        CHECK(bench.device->copies()->allocate_pinned(64).status().code == Code::kUnavailable);
      }
      CHECK(cuda.complaints() == "");
    }
  }
}

TEST_CASE("fake cuda: pinned memory that cannot be had is the host's matter", "[kernels][cuda][fake]") {
  FakeCuda cuda;
  {
    const FakeBench bench;
    MemoryAccount host;
    cuda.fail("cudaHostAlloc", 0, cudaErrorMemoryAllocation);
    const auto refused = PinnedBuffer::create(*bench.device->copies(), host, MemoryCategory::kWeights, 64);
    CHECK(refused.status().code == Code::kMemoryCap);
    CHECK(host.current_total_bytes() == 0);
    CHECK(PinnedBuffer::create(*bench.device->copies(), host, MemoryCategory::kWeights, 64).ok());
  }
  CHECK(cuda.complaints() == "");
}

TEST_CASE("fake cuda: memory that could not be cleared is an error of the next copy", "[kernels][cuda][fake]") {
  for (const bool later_ops : {false, true}) {
    FakeCuda cuda;
    {
      FakeBench bench;
      cuda.fail("cudaMemsetAsync", 0);
      const auto other = take(Buffer<float>::create(bench.device->account(), MemoryCategory::kActivations, 40));
      if (later_ops) bench.ops = bench.device->make_ops(FakeBench::kLimits, bench.workspace.span());
      CHECK(bench.value(bench.x).status().code == Code::kUnavailable);
      CHECK(bench.value(bench.x).ok());
      cuda.fail("cudaMemsetAsync", 0);
      bench.device->fill_zero(bench.x.data(), 40);
      if (later_ops) bench.ops = bench.device->make_ops(FakeBench::kLimits, bench.workspace.span());
      CHECK(bench.value(bench.x).status().code == Code::kUnavailable);
    }
    CHECK(cuda.complaints() == "");
  }
}

TEST_CASE("fake cuda: a copy that is refused half way is not under way any more", "[kernels][cuda][fake]") {
  for (const char* function : {"cudaEventRecord", "cudaStreamWaitEvent", "cudaMemcpyAsync", "cudaLaunchKernel"}) {
    for (const int64_t n : {0, 1}) {
      CAPTURE(function, n);
      FakeCuda cuda(Schedule::kCopiesLate);
      {
        FakeBench bench;
        Copies& copies = *bench.device->copies();
        MemoryAccount host;
        auto pinned = take(PinnedBuffer::create(copies, host, MemoryCategory::kWeights, 64));
        cuda.fail(function, n);
        for (int i = 0; i < 2; ++i) {
          bench.add();
          const auto started = copies.start(bench.y.data(), pinned.data(), 64);
          if (started.ok()) REQUIRE(copies.wait_for(started.value()).ok());
          if (!started.ok()) CHECK(started.status().code == Code::kUnavailable);
        }
      }
      CHECK(cuda.complaints() == "");
    }
  }
}
