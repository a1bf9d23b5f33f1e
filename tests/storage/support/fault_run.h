// One scenario under one fault, judged. The crash and error tests consist of these.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tests/storage/support/store_script.h"
#include "tests/support/fault_file_system.h"

namespace reform::test {

// The ways in which a store reaches its disk. Each must hold whatever happens.
struct DiskPath {
  const char* name;
  std::shared_ptr<rocksdb::FileSystem> files;
  bool direct_reads = false;
  std::shared_ptr<const Disk> disk() const { return std::make_shared<const Disk>(files, direct_reads); }
};
const std::vector<DiskPath>& disk_paths();

// A disk over `files` on which RocksDB does not wait before it retries a failed write.
std::shared_ptr<const Disk> hasty_disk(const std::shared_ptr<rocksdb::FileSystem>& files, bool direct_reads);

struct FaultFigures {
  int64_t faults = 0, bytes_checked = 0, lost = 0;
  void print(const std::string& what) const;  // prints the README's figures
};

// A scenario's store in its first state. It is made once, then copied for each fault.
class ScenarioBench {
 public:
  ScenarioBench(const Scenario& scenario, const DiskPath& path);

  struct Outcome {
    bool ended = false;     // the scenario ended without meeting the fault
    Status status;          // the scenario's, under the fault
    std::string violation;  // "" if nothing is lost and nothing is wrong
  };
  // Runs the scenario under `plan`, checks what is left, goes on without a fault and checks again.
  Outcome run(const FaultPlan& plan, uint64_t seed, FaultFigures& figures) const;

  // The store's files, including those of the context "book", as paths below the store's directory.
  std::vector<std::string> files() const;
  // Flips the bit that `draw` chooses in that file, and runs the scenario. The damage must be reported, or change
  // nothing.
  Outcome run_damaged(const std::string& file, uint64_t draw, FaultFigures& figures) const;

 private:
  std::string judge(Oracle& oracle, const std::string& store_dir, const std::string& damaged = "") const;
  std::string go_on(Oracle& oracle, const std::string& store_dir) const;

  const Scenario& scenario_;
  const DiskPath path_;
  TempDir dir_;
  Oracle before_;
  std::string book_id_;  // "" if the scenario begins without it
  ExpectedStore after_;  // after an uninterrupted run
};

// How many different draws of what survives each crash: REFORM_FAULT_SEEDS, else 1.
int64_t fault_seeds();
// Which calls meet a fault: each one with REFORM_FAULT_SEEDS, else every seventh, so that `./dev test` is short. Under
// sanitizers, which test the code and not the disk, there are fewer.
int64_t fault_stride();
// The same for losses of power. Without REFORM_FAULT_SEEDS the paths to the disk take the syncs in turn.
int64_t sync_stride();

}  // namespace reform::test
