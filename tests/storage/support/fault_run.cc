#include "tests/storage/support/fault_run.h"

#include <rocksdb/env.h>
#include <rocksdb/system_clock.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "storage/disk/uring/file_system.h"
#include "storage/disk/uring/ring.h"
#include "tests/storage/support/watched_disk.h"

namespace reform::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRoot = "disk";  // faults happen below it

std::string store_dir_of(const std::string& root, const Scenario& scenario) {
  return root + (scenario.makes_store ? "/some/where/store" : "/store");
}

// After a failed background write RocksDB waits a second before it tries again, and so does whoever closes it.
class HastyClock final : public rocksdb::SystemClockWrapper {
 public:
  HastyClock() : SystemClockWrapper(rocksdb::SystemClock::Default()) {}
  const char* Name() const override { return "HastyClock"; }
  void SleepForMicroseconds(int micros) override {
    if (micros < 1'000'000) target_->SleepForMicroseconds(micros);
  }
};

class HastyEnv final : public rocksdb::EnvWrapper {
 public:
  explicit HastyEnv(std::unique_ptr<rocksdb::Env> env) : EnvWrapper(std::move(env)) {
    file_system_ = target()->GetFileSystem();
    system_clock_ = std::make_shared<HastyClock>();
  }
};

DiskPath unmoving(DiskPath path) {
  path.files = std::make_shared<UnmovingDisk>(path.files);
  return path;
}

// Checks that nothing half made or half removed stays behind.
std::string find_leftovers(const std::string& store_dir, const ExpectedStore& expected) {
  for (const auto& entry : fs::directory_iterator(store_dir + "/trash")) return "left over: " + entry.path().string();
  size_t n_contexts = 0, n_locks = 0;
  for (const auto& entry : fs::directory_iterator(store_dir + "/contexts")) n_contexts += entry.is_directory();
  for (const auto& entry : fs::directory_iterator(store_dir + "/locks")) {
    n_locks += entry.path().filename() != "store" && entry.path().filename() != "space";
  }
  if (n_contexts != expected.size()) return "contexts/ holds " + std::to_string(n_contexts);
  return n_locks <= n_contexts ? "" : "locks/ holds " + std::to_string(n_locks);
}

}  // namespace

std::shared_ptr<const Disk> hasty_disk(const std::shared_ptr<rocksdb::FileSystem>& files, bool direct_reads) {
  auto disk = std::make_shared<Disk>(files, direct_reads);
  disk->wrap_env([](std::unique_ptr<rocksdb::Env> env) { return std::make_unique<HastyEnv>(std::move(env)); });
  return disk;
}

const std::vector<DiskPath>& disk_paths() {
  static const std::vector<DiskPath> paths = [] {
    std::vector<DiskPath> found = {{"plain", rocksdb::FileSystem::Default()}};
    if (!ring_refusal()) found.push_back({"io_uring", make_uring_file_system(rocksdb::FileSystem::Default()), true});
    return found;
  }();
  return paths;
}

void FaultFigures::print(const std::string& what) const {
  std::printf("%s: %lld faults injected, %lld bytes checked, lost: %lld\n", what.c_str(),
              static_cast<long long>(faults), static_cast<long long>(bytes_checked), static_cast<long long>(lost));
}

ScenarioBench::ScenarioBench(const Scenario& scenario, const DiskPath& path)
    : scenario_(scenario), path_(scenario.moves_out ? path : unmoving(path)) {
  const std::string root = dir_.path(kRoot), store_dir = store_dir_of(root, scenario);
  fs::create_directory(root);
  const auto disk = path_.disk();
  if (!scenario.makes_store) {
    Session session(store_dir, disk, before_);
    must(session.open());
    for (const Text& text : scenario.before) must(session.write(text));
    if (scenario.begun_tokens > 0) must(session.begin(kBook, scenario.begun_tokens));
    must(session.list());
    if (const auto book = session.store().find(kBook.name); book.ok()) book_id_ = book.value().meta.id;
  }
  TempDir copy;
  fs::copy(root, copy.path(kRoot), fs::copy_options::recursive);
  Oracle oracle = before_;
  Session session(store_dir_of(copy.path(kRoot), scenario), disk, oracle);
  must(session.open());
  must(scenario.act(session));
  after_ = oracle.newest();
}

ScenarioBench::Outcome ScenarioBench::run(const FaultPlan& plan, uint64_t seed, FaultFigures& figures) const {
  TempDir copy;
  const std::string root = copy.path(kRoot), store_dir = store_dir_of(root, scenario_);
  fs::copy(dir_.path(kRoot), root, fs::copy_options::recursive);
  Oracle oracle = before_;
  Outcome outcome;
  const auto faults = std::make_shared<FaultFileSystem>(path_.files, root, seed);
  {
    Session session(store_dir, hasty_disk(faults, path_.direct_reads), oracle);
    faults->arm(plan);
    outcome.status = session.open();
    if (outcome.status.ok()) outcome.status = scenario_.act(session);
  }
  const FaultCounts counts = faults->counts();
  outcome.ended = counts.failures == 0;
  if (faults->lost_power()) faults->restore_power();
  outcome.violation = judge(oracle, store_dir);
  if (outcome.violation.empty()) outcome.violation = go_on(oracle, store_dir);
  figures.faults += counts.failures > 0;
  figures.bytes_checked += oracle.bytes_checked();
  figures.lost += !outcome.violation.empty();
  return outcome;
}

std::vector<std::string> ScenarioBench::files() const {
  std::vector<std::string> found = {"store.json", "catalogue.json"};
  if (book_id_.empty()) return found;
  const std::string below = "contexts/" + book_id_ + "/", store_dir = store_dir_of(dir_.path(kRoot), scenario_);
  for (const auto& entry : fs::directory_iterator(store_dir + "/" + below))
    found.push_back(below + entry.path().filename().string());
  std::sort(found.begin(), found.end());
  return found;
}

ScenarioBench::Outcome ScenarioBench::run_damaged(const std::string& file, uint64_t draw, FaultFigures& figures) const {
  TempDir copy;
  const std::string root = copy.path(kRoot), store_dir = store_dir_of(root, scenario_);
  fs::copy(dir_.path(kRoot), root, fs::copy_options::recursive);
  Oracle oracle = before_;
  Outcome outcome;
  std::fstream bytes(store_dir + "/" + file, std::ios::in | std::ios::out | std::ios::binary);
  const auto n_bytes = fs::file_size(store_dir + "/" + file);
  outcome.ended = n_bytes == 0;
  if (outcome.ended) return outcome;
  const auto place = std::streamoff(draw / 8 % n_bytes);
  bytes.seekg(place);
  const char flipped = char(bytes.get() ^ 1 << draw % 8);
  bytes.seekp(place);
  bytes.put(flipped);
  bytes.close();
  {
    Session session(store_dir, path_.disk(), oracle);
    outcome.status = session.open();
    if (outcome.status.ok()) outcome.status = scenario_.act(session);
  }
  outcome.violation = judge(oracle, store_dir, kBook.name);
  const std::string& said = outcome.status.message;
  const bool named = said.find(kBook.name) != std::string::npos || said.find(book_id_) != std::string::npos;
  if (outcome.violation.empty() && !outcome.status.ok() && !(outcome.status.code == Code::kCorrupt && named))
    outcome.violation = "not named as damage: " + said;
  ++figures.faults;
  figures.bytes_checked += oracle.bytes_checked();
  figures.lost += !outcome.violation.empty();
  return outcome;
}

std::string ScenarioBench::judge(Oracle& oracle, const std::string& store_dir, const std::string& damaged) const {
  MemoryAccount account;
  const auto store = ContextStore::open(store_dir, account, path_.disk());
  return store.ok() ? oracle.judge(*store.value(), damaged) : "the store cannot be opened: " + store.status().message;
}

std::string ScenarioBench::go_on(Oracle& oracle, const std::string& store_dir) const {
  {
    Session session(store_dir, path_.disk(), oracle);
    Status status = session.open();
    if (status.ok()) status = scenario_.act(session);
    if (!status.ok()) return "it does not go on: " + status.message;
  }
  if (oracle.newest() != after_) return "it ends in another state than without the fault";
  const std::string wrong = judge(oracle, store_dir);
  return wrong.empty() ? find_leftovers(store_dir, after_) : "after going on: " + wrong;
}

int64_t fault_stride() {
  if (std::getenv("REFORM_FAULT_SEEDS") != nullptr) return 1;
#ifdef REFORM_SANITIZED
  return 61;
#else
  return 7;
#endif
}

int64_t sync_stride() { return fault_stride() == 7 ? int64_t(disk_paths().size()) : fault_stride(); }

int64_t fault_seeds() {
  const char* set = std::getenv("REFORM_FAULT_SEEDS");
  return set == nullptr ? 1 : std::max(1, std::atoi(set));
}

}  // namespace reform::test
