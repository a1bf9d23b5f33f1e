// The whole job on a CUDA device with a fake CUDA runtime, against the same kernels run one by one.
#include <catch2/catch.hpp>

#include "kernels/cuda/cuda_device.h"
#include "runtime/engine/engine_impl.h"
#include "tests/kernels/cuda/fake_runtime/fake_cuda.h"
#include "tests/kernels/cuda/fake_runtime/fake_ops.h"
#include "tests/kernels/cuda/plain_codes.h"
#include "tests/runtime/support/fenced_device.h"
#include "tests/runtime/support/ingest_support.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kCap = 330 * kMiB;  // beside what the driver takes, a few MiB

std::string text() { return made_text(17, 300); }

AskOptions few_tokens(float temperature) {
  AskOptions options;
  options.gather_tokens = 24, options.edge_tokens = 8, options.pool_window = 5;
  options.sampling.max_new_tokens = 3, options.sampling.temperature = temperature, options.sampling.seed = 7;
  return options;
}

// What is compared of a job: a context, and answers to one question.
struct Outcome {
  Snapshot snapshot;
  std::string drawn;
};

std::string answer_of(IngestBench& bench, float temperature) {
  const auto answer = ask(bench.engine(), bench.store(), {"a"}, "where are the stones?", few_tokens(temperature));
  INFO(answer.status().message);
  REQUIRE(answer.ok());
  return answer.value().answer;
}

Outcome outcome_of(IngestBench& bench) {
  const auto ingested = bench.ingest("a", {text()}, IngestBench::options("h2o"));
  INFO(ingested.status().message);
  REQUIRE(ingested.ok());
  Outcome outcome;
  outcome.drawn = answer_of(bench, 0.9f);
  outcome.snapshot = bench.snapshot("a");
  return outcome;
}

void check_same_outcome(const Outcome& a, const Outcome& b) {
  CHECK(a.drawn == b.drawn);
  check_same(a.snapshot, b.snapshot);
}

// Products are plain loops here, since our own kernels take minutes under emulation.
Outcome wanted() {
  PlainCodes products;
  IngestBench bench;
  bench.move_to(fenced_emulated_cuda(&products));
  return outcome_of(bench);
}

std::unique_ptr<Device> opened() {
  const FakeLibrary library([](const std::string&) { return in_stream_order(std::make_shared<PlainCodes>()); });
  auto device = open_cuda_device(0, {.max_bytes = kCap});
  INFO(device.status().message);
  REQUIRE(device.ok());
  return std::move(device).value();
}

}  // namespace

TEST_CASE("fake cuda: a whole job gives what its kernels give one by one, in whatever order", "[runtime][cuda][fake]") {
  const Outcome want = wanted();
  struct Run {
    Schedule schedule;
    WeightPlace place;
  };
#ifdef REFORM_SANITIZED
  constexpr Run kRuns[] = {{Schedule::kRandom, WeightPlace::kHost}};
#else
  constexpr Run kRuns[] = {{Schedule::kLate, WeightPlace::kAuto},
                           {Schedule::kRandom, WeightPlace::kAuto},
                           {Schedule::kOpsLate, WeightPlace::kHost},
                           {Schedule::kCopiesLate, WeightPlace::kHost},
                           {Schedule::kRandom, WeightPlace::kHost}};
#endif
  for (const auto& [schedule, place] : kRuns) {
    CAPTURE(name(schedule), int(place));
    FakeCuda cuda(schedule);
    {
      IngestBench bench;
      bench.move_to(opened(), place);
      check_same_outcome(outcome_of(bench), want);
      CHECK((cuda.n_graph_launches() > 3) == (place == WeightPlace::kAuto));
    }
    CHECK(cuda.complaints() == "");
  }
}

TEST_CASE("fake cuda: a chip that fails in a job is one clear error, and all is given back", "[runtime][cuda][fake]") {
  struct Run {
    Schedule schedule;
    WeightPlace place;
    int64_t n_kernels;  // before it fails
  };
  constexpr Run kRuns[] = {{Schedule::kLate, WeightPlace::kAuto, 0},
                           {Schedule::kEarly, WeightPlace::kAuto, 41},
                           {Schedule::kCopiesLate, WeightPlace::kHost, 3},
                           {Schedule::kRandom, WeightPlace::kHost, 97}};
  for (const auto& [schedule, place, n_kernels] : kRuns) {
    CAPTURE(name(schedule), int(place), n_kernels);
    FakeCuda cuda(schedule);
    {
      IngestBench bench;
      bench.move_to(opened(), place);
      cuda.fault_at_kernel(n_kernels);
      for (int i = 0; i < 2; ++i) {  // the job, and the next one
        const Status failed = bench.ingest("a", {text()}, IngestBench::options("h2o")).status();
        INFO(failed.message);
        CHECK(failed.code == Code::kUnavailable);
        CHECK(failed.message.find("an illegal memory access was encountered") != std::string::npos);
      }
      const MemoryAccount& account = bench.engine().impl().device->account();
      CHECK(account.current_total_bytes() == account.current_bytes(MemoryCategory::kWeights));
    }
    CHECK(cuda.complaints() == "");
  }
}
