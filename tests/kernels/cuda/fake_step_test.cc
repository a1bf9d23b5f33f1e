// A step as one graph gives what its ops give one by one, even if the driver refuses graphs.
#include "tests/kernels/cuda/fake_support.h"

using namespace reform;
using namespace reform::test;

namespace {

struct StepBench : FakeBench {
  StepBench() {
    REQUIRE(set(x, 1).ok());
    REQUIRE(set(y, 2).ok());
  }
  Status run(StepKind kind, int n_adds) {
    return device->run_step(kind, *ops, [&] {
      for (int i = 0; i < n_adds; ++i) add();
      return Status{};
    });
  }
  // Other kernels: y becomes 2 y.
  Status run_other(StepKind kind) {
    return device->run_step(kind, *ops, [&] {
      ops->add(view(y), view(y));
      ops->argmax({y.data(), size_t(kN)}, reinterpret_cast<int32_t*>(x.data()));
      ops->add(view(x), view(x));
      device->fill_zero(x.data(), kN * 4);
      return Status{};
    });
  }
};

constexpr StepKind kKinds[] = {StepKind::kBest, StepKind::kDrawn};

}  // namespace

TEST_CASE("fake cuda: a step is its ops, and one graph while its kernels are the same", "[kernels][cuda][fake]") {
  for (const Schedule schedule : kSchedules) {
    CAPTURE(name(schedule));
    FakeCuda cuda(schedule);
    {
      StepBench bench;
      float want = 1;
      for (const StepKind kind : kKinds) {
        // Prepared and not run, with a buffer that is gone when the step runs.
        auto other = take(Buffer<float>::create(bench.device->account(), MemoryCategory::kActivations, FakeBench::kN));
        REQUIRE(bench.device
                    ->prepare_step(kind, *bench.ops,
                                   [&] {
                                     bench.ops->add(bench.view(other), bench.view(bench.y));
                                     return Status{};
                                   })
                    .ok());
        other.reset();
        for (int i = 0; i < 3; ++i, want += 2) REQUIRE(bench.run(kind, 1).ok());
        bench.add();  // an op outside the step, in the order of the work
        want += 2;
        CHECK(bench.value(bench.x).value() == want);
      }
      CHECK(cuda.n_calls("cudaGraphInstantiate") == 2);
      CHECK(cuda.n_calls("cudaGraphUpload") == 2);
      CHECK(cuda.n_graph_launches() == 6);
      REQUIRE(bench.run(StepKind::kBest, 2).ok());  // other kernels
      REQUIRE(bench.run(StepKind::kBest, 1).ok());
      CHECK(bench.value(bench.x).value() == want + 6);
      REQUIRE(bench.run_other(StepKind::kBest).ok());
      CHECK(bench.value(bench.x).value() == 0);
      CHECK(bench.value(bench.y).value() == 4);
      CHECK(cuda.n_calls("cudaGraphInstantiate") == 5);
      CHECK(cuda.n_graph_launches() == 9);
    }
    CHECK(cuda.complaints() == "");
  }
}

TEST_CASE("fake cuda: a step that is cancelled is not run, and the next one is", "[kernels][cuda][fake]") {
  for (const Schedule schedule : kSchedules) {
    CAPTURE(name(schedule));
    FakeCuda cuda(schedule);
    {
      StepBench bench;
      for (const bool prepared : {true, false}) {
        const auto cancelled = [&] {
          bench.add();
          return Status{Code::kCancelled, "stopped"};
        };
        const Status status = prepared ? bench.device->prepare_step(StepKind::kBest, *bench.ops, cancelled)
                                       : bench.device->run_step(StepKind::kBest, *bench.ops, cancelled);
        CHECK(status.code == Code::kCancelled);
        CHECK(bench.value(bench.x).value() == 1);
      }
      REQUIRE(bench.run(StepKind::kBest, 1).ok());
      CHECK(cuda.n_graph_launches() == 1);
      CHECK(bench.value(bench.x).value() == 3);
    }
    CHECK(cuda.complaints() == "");
  }
}

TEST_CASE("fake cuda: where the driver refuses any of a graph, steps are right all the same", "[kernels][cuda][fake]") {
  for (const char* function : {"cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate",
                               "cudaGraphExecUpdate", "cudaGraphUpload", "cudaGraphLaunch"}) {
    for (const int64_t n : {0, 1}) {
      for (const Schedule schedule : {Schedule::kLate, Schedule::kEarly}) {
        CAPTURE(function, n, name(schedule));
        FakeCuda cuda(schedule);
        {
          StepBench bench;
          cuda.fail(function, n);
          REQUIRE(bench.device
                      ->prepare_step(StepKind::kBest, *bench.ops,
                                     [&] {
                                       bench.add();
                                       return Status{};
                                     })
                      .ok());
          for (int i = 0; i < 4; ++i) REQUIRE(bench.run(StepKind::kBest, 1).ok());
          CHECK(bench.value(bench.x).value() == 9);
          for (int i = 0; i < 2; ++i) REQUIRE(bench.run(StepKind::kBest, 2).ok());
          CHECK(bench.value(bench.x).value() == 17);
          CHECK(bench.run_other(StepKind::kDrawn).ok());
          CHECK(bench.value(bench.y).value() == 4);
        }
        CHECK(cuda.complaints() == "");
      }
    }
  }
}

TEST_CASE("fake cuda: a copy in a step is no part of a graph, and the step is right", "[kernels][cuda][fake]") {
  for (const Schedule schedule : kSchedules) {
    CAPTURE(name(schedule));
    FakeCuda cuda(schedule);
    {
      StepBench bench;
      const std::vector<float> five(FakeBench::kN, 5);
      for (int i = 0; i < 2; ++i) {
        REQUIRE(bench.device
                    ->run_step(StepKind::kBest, *bench.ops,
                               [&] {
                                 bench.add();
                                 (void)bench.device->to_device(bench.y.data(), five.data(), FakeBench::kN * 4);
                                 bench.add();
                                 return Status{};
                               })
                    .ok());
      }
      CHECK(bench.value(bench.x).value() == 1 + 2 + 5 + 5 + 5);
      CHECK(cuda.n_graph_launches() == 0);
    }
    CHECK(cuda.complaints() == "");
  }
}

// The count begins with the step's first launch.
TEST_CASE("fake cuda: a launch that is refused in a step is met by the next copy", "[kernels][cuda][fake]") {
  for (const int64_t n : {0, 1, 2, 3, 4, 5}) {
    CAPTURE(n);
    FakeCuda cuda;
    {
      StepBench bench;
      REQUIRE(bench.run(StepKind::kBest, 3).ok());
      CHECK(bench.value(bench.x).value() == 7);
      cuda.fail("cudaLaunchKernel", n);
      const Status first = bench.run(StepKind::kBest, 3), second = bench.run(StepKind::kBest, 3);
      const auto value = bench.value(bench.x);
      if (first.ok() && second.ok() && value.ok()) CHECK(value.value() == 19);
    }
    CHECK(cuda.complaints() == "");
  }
}
