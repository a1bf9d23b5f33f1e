// Each read and each write fails in turn, with EIO, for lack of space, or half done; and bits flip at rest.
#include <deque>

#include "tests/storage/support/fault_run.h"

using namespace reform;
using namespace reform::test;

namespace {

struct Trouble {
  const char* what;
  Failure failure;
  bool from_then_on;
  Code code;  // the failed operation's
};

const Trouble kWriteTroubles[] = {
    {"a write fails once", Failure::kIo, false, Code::kIo},
    {"the disk is full", Failure::kNoSpace, true, Code::kNoSpace},
    {"a write is cut short", Failure::kShort, false, Code::kNoSpace},
    {"the disk refuses all writes", Failure::kIo, true, Code::kIo},
};
const Trouble kReadTroubles[] = {
    {"a read fails once", Failure::kIo, false, Code::kIo},
    {"a read is cut short", Failure::kShort, false, Code::kCorrupt},
    {"the disk refuses all reads", Failure::kIo, true, Code::kIo},
};

// For each n, one trouble and one path to the disk, in turn. With more seeds, all of them.
template <size_t n_troubles>
void run_all(const Scenario& scenario, const Trouble (&troubles)[n_troubles], int64_t FaultPlan::*which,
             const std::string& what) {
  std::deque<ScenarioBench> benches;
  for (const DiskPath& path : disk_paths()) benches.emplace_back(scenario, path);
  FaultFigures figures;
  const int64_t n_rounds = std::min<int64_t>(fault_seeds(), int64_t(n_troubles * benches.size()));
  for (int64_t round = 0; round < n_rounds; ++round) {
    for (int64_t n = 1, n_missed = 0; n_missed < int64_t(n_troubles); n += fault_stride()) {
      const Trouble& trouble = troubles[size_t(n + round) % n_troubles];
      const size_t path = size_t(n + round / int64_t(n_troubles)) / n_troubles % benches.size();
      INFO(scenario.name << ", " << disk_paths()[path].name << ": " << trouble.what << ", call " << n);
      FaultPlan plan;
      plan.*which = n;
      plan.failure = trouble.failure;
      plan.from_then_on = trouble.from_then_on;
      const auto outcome = benches[path].run(plan, uint64_t(n), figures);
      INFO(outcome.status.message);
      CHECK(outcome.violation == "");
      // If the record of pins cannot be read, the context may be pinned, so it is not evicted.
      const bool spared = outcome.status.message.find("No context may go") != std::string::npos;
      CHECK((outcome.status.ok() || outcome.status.code == trouble.code || spared));
      n_missed = outcome.ended ? n_missed + 1 : 0;
      REQUIRE(n < 5000);
    }
  }
  figures.print(what + scenario.name);
}

}  // namespace

TEST_CASE("a write that fails, anywhere, is a clean error, nothing saved is lost, and it goes on", "[storage][crash]") {
  run_all(kScenarios[size_t(GENERATE(range(0, int(kScenarios.size()))))], kWriteTroubles, &FaultPlan::fail_write,
          "writes failing in ");
}

TEST_CASE("a read that fails, anywhere, is a clean error, nothing saved is lost, and it goes on", "[storage][crash]") {
  run_all(kScenarios[size_t(GENERATE(range(0, int(kScenarios.size()))))], kReadTroubles, &FaultPlan::fail_read,
          "reads failing in ");
}

TEST_CASE("a flipped bit in any file, under any operation, is named or harmless, and costs one context",
          "[storage][crash]") {
  const Scenario& scenario = kScenarios[size_t(GENERATE(range(1, int(kScenarios.size()))))];
  const ScenarioBench bench(scenario, disk_paths()[0]);
  std::mt19937_64 random(11);
  FaultFigures figures;
  for (const std::string& file : bench.files()) {
    for (int64_t i = 0; i < (fault_stride() == 1 ? 5 : 1) * fault_seeds(); ++i) {
      const uint64_t draw = random();
      const auto outcome = bench.run_damaged(file, draw, figures);
      if (outcome.ended) break;
      INFO(scenario.name << ", " << file << ", draw " << draw);
      INFO(outcome.status.message);
      CHECK(outcome.violation == "");
    }
  }
  figures.print(std::string("bits flipped before ") + scenario.name);
}
