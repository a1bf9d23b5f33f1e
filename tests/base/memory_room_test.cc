// Limits on memory, read from folders of our own in the place of /proc and /sys.
#include "base/memory_room.h"

#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "base/control_group.h"
#include "tests/support/temp_dir.h"

using namespace reform;
using namespace reform::test;

namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

struct FakeRoot {
  const TempDir dir;
  const std::filesystem::path root = dir.path();

  FakeRoot() { write("proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\nSwapFree: 1048576 kB\n"); }
  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  }
  void v2(const std::string& group, const std::string& mounted_group = "/") const {
    write("proc/self/cgroup", "0::" + group + "\n");
    write("proc/self/mountinfo", "22 1 0:20 / /proc rw - proc proc rw\n30 22 0:26 " + mounted_group +
                                     " /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
  }
  void group(const std::string& path, const std::string& max, const std::string& high, int64_t current_mib,
             int64_t file_mib) const {
    const std::string at = "sys/fs/cgroup" + path + "/";
    write(at + "memory.max", max + "\n");
    write(at + "memory.high", high + "\n");
    write(at + "memory.current", std::to_string(current_mib * kMiB) + "\n");
    write(at + "memory.stat", "anon 17\ninactive_file " + std::to_string(file_mib * kMiB) + "\nactive_file 0\n");
  }
  int64_t left_mib() const { return limited_room(root).bytes / kMiB; }
};

std::string mib(int64_t n) { return std::to_string(n * kMiB); }

}  // namespace

TEST_CASE("memory: without limits the machine's own counts, its free swap included", "[base]") {
  const FakeRoot f;
  CHECK(limited_room(f.root).bytes == INT64_MAX);
  CHECK(memory_room(f.root).bytes == 5 * 1024 * kMiB);
  CHECK(memory_room(f.root).limit.find("machine") != std::string::npos);
  f.v2("/a");
  f.group("/a", "max", "max", 100, 0);
  CHECK(limited_room(f.root).bytes == INT64_MAX);
  CHECK(group_limits(f.root).memory_bytes == 0);
}

TEST_CASE("memory: a group's limit counts less what it holds, but for page cache", "[base]") {
  const FakeRoot f;
  f.v2("/jobs/mine");
  f.group("/jobs/mine", mib(500), "max", 300, 200);
  f.group("/jobs", "max", "max", 999, 0);
  CHECK(f.left_mib() == 400);
  CHECK(memory_room(f.root).limit.find("/jobs/mine/memory.max") != std::string::npos);
  f.group("/jobs/mine", mib(500), mib(250), 300, 200);  // memory.high
  CHECK(f.left_mib() == 150);
  CHECK(memory_room(f.root).limit.find("/jobs/mine/memory.high") != std::string::npos);
  f.group("/jobs", mib(1000), "max", 950, 0);  // the limit is larger, and leaves less
  CHECK(f.left_mib() == 50);
  CHECK(memory_room(f.root).limit.find("/jobs/memory.max") != std::string::npos);
  CHECK(group_limits(f.root).memory_bytes == 250 * kMiB);
  f.group("/jobs/mine", mib(500), "max", 700, 0);  // over it already
  CHECK(f.left_mib() == 0);
}

TEST_CASE("memory: groups are found where they are mounted", "[base]") {
  const FakeRoot f;
  f.v2("/docker/abc/below", "/docker/abc");  // a container: its own group is mounted as the top
  f.group("", mib(700), "max", 0, 0);
  f.group("/below", "max", "max", 0, 0);
  CHECK(f.left_mib() == 700);
  f.group("/below", mib(600), "max", 0, 0);
  CHECK(f.left_mib() == 600);
  f.v2("/elsewhere", "/docker/abc");  // a group that cannot be seen here
  CHECK(f.left_mib() == 700);
  f.v2("/", "/");
  CHECK(f.left_mib() == 700);
  for (const char* text : {"", "garbage", "0", "0:", "0::\n0::/\xff\n:::::\n"}) {
    f.write("proc/self/cgroup", text);
    CHECK(f.left_mib() >= 600);
  }
}

TEST_CASE("memory: cgroup v1 and its groups above", "[base]") {
  const FakeRoot f;
  f.write("proc/self/cgroup", "9:name=systemd:/x\n4:memory:/up/own\n2:cpu,cpuacct:/c\n0::/\n");
  f.write("proc/self/mountinfo",
          "1 0 0:1 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
          "2 0 0:2 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
  const auto group = [&](const std::string& path, const std::string& limit, int64_t used_mib, int64_t file_mib) {
    const std::string at = "sys/fs/cgroup/memory" + path + "/memory.";
    f.write(at + "limit_in_bytes", limit);
    f.write(at + "usage_in_bytes", mib(used_mib));
    f.write(at + "stat", "total_inactive_file " + mib(file_mib) + "\n");
  };
  group("", "9223372036854771712", 5000, 0);
  group("/up", "9223372036854771712", 400, 0);
  group("/up/own", mib(300), 200, 150);
  CHECK(f.left_mib() == 250);
  group("/up", mib(420), 400, 0);
  CHECK(f.left_mib() == 20);
  CHECK(group_limits(f.root).cpu_cores == 0);
  f.write("sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "150000");
  f.write("sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us", "100000");
  CHECK(group_limits(f.root).cpu_cores == 1.5);
}

TEST_CASE("memory: the process's own limits count less what it has mapped", "[base]") {
  const FakeRoot f;
  f.write("proc/self/status", "VmSize:\t 204800 kB\nVmData:\t 102400 kB\n");
  for (const int resource : {RLIMIT_AS, RLIMIT_DATA}) {
    rlimit before{};
    REQUIRE(getrlimit(resource == RLIMIT_AS ? RLIMIT_AS : RLIMIT_DATA, &before) == 0);
    // Far above what this process has, so that nothing else fails meanwhile.
    const rlimit large{rlim_t{1} << 50, before.rlim_max};
    REQUIRE(setrlimit(resource == RLIMIT_AS ? RLIMIT_AS : RLIMIT_DATA, &large) == 0);
    const MemoryRoom room = limited_room(f.root);
    REQUIRE(setrlimit(resource == RLIMIT_AS ? RLIMIT_AS : RLIMIT_DATA, &before) == 0);
    CHECK(room.bytes == (int64_t{1} << 50) - (resource == RLIMIT_AS ? 200 : 100) * kMiB);
    CHECK(room.limit.find(resource == RLIMIT_AS ? "ulimit -v" : "ulimit -d") != std::string::npos);
  }
}
