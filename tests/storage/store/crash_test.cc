// The power fails at each sync in turn, and the disk keeps whatever it likes of what was not synced.
#include <cstdio>

#include "tests/storage/support/fault_run.h"

using namespace reform;
using namespace reform::test;

namespace {

struct Kind {
  const char* what;
  bool (*matches)(const std::string& path);
};

bool is_directory_of(const std::string& path, const std::string& parent) {
  return std::filesystem::path(path).parent_path().filename() == parent;
}

// Syncs that must not be left out, by the path that is synced.
const Kind kKinds[] = {
    {"the log", [](const std::string& path) { return path.ends_with(".log"); }},
    {"tables", [](const std::string& path) { return path.ends_with(".sst"); }},
    {"blobs", [](const std::string& path) { return path.ends_with(".blob"); }},
    {"the manifest", [](const std::string& path) { return path.find("/MANIFEST-") != std::string::npos; }},
    {"context.json", [](const std::string& path) { return path.ends_with("context.json.tmp"); }},
    {"a context's directory",
     [](const std::string& path) { return is_directory_of(path, "contexts") || is_directory_of(path, "trash"); }},
    {"contexts/ and trash/",
     [](const std::string& path) { return path.ends_with("store/contexts") || path.ends_with("store/trash"); }},
    {"the store's folder", [](const std::string& path) { return path.ends_with("/store"); }},
    {"the folders above it",
     [](const std::string& path) { return path.ends_with("/some") || path.ends_with("/disk"); }},
};

}  // namespace

TEST_CASE("power lost at any sync: nothing saved is lost, nothing is wrong, and it goes on", "[storage][crash]") {
  const Scenario& scenario = kScenarios[size_t(GENERATE(range(0, int(kScenarios.size()))))];
  for (size_t p = 0; p < disk_paths().size(); ++p) {
    const DiskPath& path = disk_paths()[p];
    const ScenarioBench bench(scenario, path);
    FaultFigures figures;
    for (int64_t seed = 0; seed < fault_seeds(); ++seed) {
      for (int64_t n = 1 + int64_t(p) % sync_stride();; n += sync_stride()) {
        INFO(scenario.name << ", " << path.name << ", sync " << n << ", seed " << seed);
        FaultPlan plan;
        plan.lose_power_at_sync = n;
        const auto outcome = bench.run(plan, uint64_t(1000 * seed + n), figures);
        INFO(outcome.status.message);
        CHECK(outcome.violation == "");
        if (outcome.ended) break;
        REQUIRE(n < 2000);
      }
    }
    figures.print(std::string("power lost in ") + scenario.name + ", " + path.name);
  }
}

TEST_CASE("the crash test notices each kind of sync that is left out", "[storage][crash]") {
  const DiskPath& path = disk_paths()[0];
  const ScenarioBench first(kScenarios[0], path);
  for (const Kind& kind : kKinds) {
    INFO(kind.what);
    std::string violation;
    FaultFigures figures;
    for (uint64_t seed = 0; violation.empty() && seed < 4; ++seed) {
      for (int64_t n = 1; violation.empty(); ++n) {
        FaultPlan plan;
        plan.lose_power_at_sync = n;
        plan.swallows_sync = kind.matches;
        const auto outcome = first.run(plan, 1000 * seed + uint64_t(n), figures);
        violation = outcome.violation;
        if (outcome.ended) break;
      }
    }
    CHECK(violation != "");
  }
}
