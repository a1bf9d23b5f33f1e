// The fault file system itself. What was synced stays. What was not may do anything that a disk may do, and nothing
// else.
#include "tests/support/fault_file_system.h"

#include <catch2/catch.hpp>
#include <set>

#include "storage/disk/disk.h"
#include "tests/storage/support/store_fixture.h"
#include "tests/support/disk_model.h"
#include "tests/support/files.h"

using namespace reform;
using namespace reform::test;

namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const std::string& dir) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

struct FaultyDisk {
  explicit FaultyDisk(uint64_t seed)
      : files(std::make_shared<FaultFileSystem>(rocksdb::FileSystem::Default(), dir.path(), seed)), disk(files) {}

  std::unique_ptr<rocksdb::FSWritableFile> create(const std::string& name) {
    std::unique_ptr<rocksdb::FSWritableFile> file;
    REQUIRE(files->NewWritableFile(dir.path(name), {}, &file, nullptr).ok());
    return file;
  }
  // The power fails at the next sync.
  void crash() {
    FaultPlan plan;
    plan.lose_power_at_sync = 1;
    files->arm(plan);
    CHECK_FALSE(disk.sync_directory(dir.path()).ok());
    REQUIRE(files->lost_power());
    CHECK_FALSE(files->FileExists(dir.path("a"), {}, nullptr).ok());
    files->restore_power();
  }

  TempDir dir;
  std::shared_ptr<FaultFileSystem> files;
  Disk disk;
};

constexpr uint64_t kSeeds = 200;

}  // namespace

TEST_CASE("fault file system: synced bytes stay, later ones turn out whole, absent, torn at a sector or garbage",
          "[storage][crash]") {
  const std::string first(700, 'a'), second(2000, 'b');
  std::set<std::string> kinds;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    FaultyDisk d(seed);
    {
      auto file = d.create("x");
      REQUIRE(file->Append(first, {}, nullptr).ok());
      REQUIRE(file->Sync({}, nullptr).ok());
      must(d.disk.sync_directory(d.dir.path()));
      REQUIRE(file->Append(second, {}, nullptr).ok());
    }
    d.crash();
    const std::string left = read_file(d.dir.path("x"));
    REQUIRE(left.substr(0, first.size()) == first);
    const std::string tail = left.substr(first.size());
    if (tail.empty()) {
      kinds.insert("absent");
    } else if (tail == second) {
      kinds.insert("whole");
    } else if (tail == second.substr(0, tail.size())) {
      CHECK(left.size() % 512 == 0);
      kinds.insert("torn");
    } else {
      CHECK(tail.size() == second.size());
      kinds.insert("garbage");
    }
  }
  CHECK(kinds == std::set<std::string>{"absent", "whole", "torn", "garbage"});
}

TEST_CASE("fault file system: of unsynced names any may be kept, and a rename is never half done", "[storage][crash]") {
  std::set<std::vector<std::string>> seen;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    FaultyDisk d(seed);
    for (const char* folder : {"from", "to"}) fs::create_directory(d.dir.path(folder));
    d.create("gone");
    must(d.disk.write_file_atomically(d.dir.path("from/x"), "x"));
    must(d.disk.sync_directory(d.dir.path()));
    must(d.disk.rename_path(d.dir.path("from/x"), d.dir.path("to/y")));
    d.create("new");
    REQUIRE(d.files->DeleteFile(d.dir.path("gone"), {}, nullptr).ok());
    if (seed % 2) must(d.disk.sync_directory(d.dir.path("to")));  // half of what makes the rename durable
    d.crash();
    const auto from = names_in(d.dir.path("from")), to = names_in(d.dir.path("to"));
    CHECK(from.size() + to.size() == 1);
    CHECK(read_file(d.dir.path(from.empty() ? "to/y" : "from/x")) == "x");
    auto names = names_in(d.dir.path());
    names.push_back(from.empty() ? "renamed" : "not renamed");
    seen.insert(names);
  }
  CHECK(seen.size() == 8);  // made or not, removed or not, renamed or not
}

TEST_CASE("fault file system: what was synced with its directory is there, whoever made it", "[storage][crash]") {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    FaultyDisk d(seed);
    fs::create_directories(d.dir.path("a/b"));  // behind the disk's back
    must(d.disk.write_file_atomically(d.dir.path("a/b/x"), "old"));
    must(d.disk.sync_directory(d.dir.path("a")));
    must(d.disk.sync_directory(d.dir.path()));
    must(d.disk.write_file_atomically(d.dir.path("a/b/x"), "new"));
    must(d.disk.write_file_atomically(d.dir.path("a/b/y"), "y"));
    fs::create_directory(d.dir.path("z"));
    d.crash();
    CHECK(names_in(d.dir.path("a/b")) == std::vector<std::string>{"x", "y"});
    CHECK(read_file(d.dir.path("a/b/x")) == "new");
  }
}

TEST_CASE("fault file system: a failed call fails as planned, once or from then on", "[storage][crash]") {
  FaultyDisk d(1);
  const auto write = [&] { return d.disk.write_file_atomically(d.dir.path("x"), "text"); };
  must(write());
  const int64_t n_writes = d.files->counts().writes, n_syncs = d.files->counts().syncs;
  CHECK(n_writes == 5);  // create, write, sync, rename, sync of the directory
  CHECK(n_syncs == 2);
  for (const bool from_then_on : {false, true}) {
    for (int64_t n = 1; n <= n_writes; ++n) {
      FaultPlan plan;
      plan.fail_write = n;
      plan.failure = Failure::kNoSpace;
      plan.from_then_on = from_then_on;
      d.files->arm(plan);
      CHECK(write().code == Code::kNoSpace);
      CHECK((write().code == Code::kOk) == !from_then_on);
      d.files->arm({});
    }
  }
  FaultPlan plan;
  plan.fail_read = 2;  // the first read is the opening
  d.files->arm(plan);
  CHECK(d.disk.read_small_file(d.dir.path("x")).status().code == Code::kIo);
  std::unique_ptr<rocksdb::FSRandomAccessFile> file;
  REQUIRE(d.files->NewRandomAccessFile(d.dir.path("x"), {}, &file, nullptr).ok());
  plan.fail_read = 1;
  plan.failure = Failure::kShort;
  d.files->arm(plan);
  for (const char* expected : {"te", "text"}) {
    char scratch[4];
    rocksdb::Slice result;
    REQUIRE(file->Read(0, 4, {}, &result, scratch, nullptr).ok());
    CHECK(result.ToString() == expected);
  }
}
