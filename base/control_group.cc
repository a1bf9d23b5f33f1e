#include "base/control_group.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

#include "base/machine.h"

namespace reform {
namespace {

namespace fs = std::filesystem;

// A hierarchy of groups as it is mounted: the group `inside` is the folder `at`.
struct Mount {
  std::string kind;         // "cgroup2" or "cgroup"
  std::string controllers;  // v1: "rw,memory"
  fs::path inside, at;
};

// /proc/self/mountinfo: id parent device inside at options… - kind source controllers
std::vector<Mount> read_mounts(const fs::path& root) {
  std::vector<Mount> mounts;
  std::ifstream in(root / "proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::string skipped, inside, at;
    Mount mount;
    std::istringstream(line) >> skipped >> skipped >> skipped >> inside >> at;
    std::istringstream(line.substr(dash + 3)) >> mount.kind >> skipped >> mount.controllers;
    mount.inside = inside, mount.at = at;
    if (mount.kind == "cgroup2" || mount.kind == "cgroup") mounts.push_back(mount);
  }
  return mounts;
}

bool has_word(const std::string& list, const std::string& word) {
  return (',' + list + ',').find(',' + word + ',') != std::string::npos;
}

// A number in a file of a group; `none` if there is none, such as "max".
int64_t number_in(const fs::path& file, int64_t none) {
  int64_t n = 0;
  return std::istringstream(first_line(file)) >> n ? n : none;
}

// The sum of the fields "key value" of memory.stat.
int64_t sum_of(const fs::path& file, const std::vector<std::string>& keys) {
  int64_t sum = 0, value = 0;
  std::ifstream in(file);
  for (std::string key; in >> key >> value;) {
    if (std::count(keys.begin(), keys.end(), key) > 0) sum += value;
  }
  return sum;
}

// A v1 group without a limit has one of nearly 2^63.
constexpr int64_t kNone = int64_t{1} << 60;

void add_memory(const fs::path& limit_file, const fs::path& used_file, const std::vector<std::string>& droppable,
                GroupLimits& limits) {
  const int64_t limit = number_in(limit_file, kNone);
  if (limit >= kNone) return;
  const int64_t dropped = sum_of(limit_file.parent_path() / "memory.stat", droppable);
  const int64_t held = std::max<int64_t>(0, number_in(used_file, 0) - dropped);
  const int64_t left = std::max<int64_t>(0, limit - held);
  if (limits.memory_bytes == 0 || limit < limits.memory_bytes) limits.memory_bytes = limit;
  if (left < limits.memory_left_bytes) limits.memory_left_bytes = left, limits.memory_file = limit_file.string();
}

void add_cpu(double quota, double period, GroupLimits& limits) {
  if (quota <= 0 || period <= 0) return;
  if (limits.cpu_cores == 0 || quota / period < limits.cpu_cores) limits.cpu_cores = quota / period;
}

void add_v2(const fs::path& group, GroupLimits& limits) {
  // Past memory.high the kernel does not kill: it slows the process down to nearly nothing.
  for (const char* limit : {"memory.max", "memory.high"}) {
    add_memory(group / limit, group / "memory.current", {"inactive_file", "active_file", "slab_reclaimable"}, limits);
  }
  double quota = 0, period = 0;
  std::istringstream(first_line(group / "cpu.max")) >> quota >> period;
  add_cpu(quota, period, limits);
}

void add_v1(const fs::path& group, GroupLimits& limits) {
  add_memory(group / "memory.limit_in_bytes", group / "memory.usage_in_bytes",
             {"total_inactive_file", "total_active_file"}, limits);
  add_cpu(double(number_in(group / "cpu.cfs_quota_us", 0)), double(number_in(group / "cpu.cfs_period_us", 0)), limits);
}

// From the process's group up to the top of what is mounted. In a container that may be the group itself.
void add_groups(const fs::path& root, const Mount& mount, const fs::path& group, GroupLimits& limits) {
  fs::path below = group.lexically_relative(mount.inside);
  if (below.empty() || below.string().starts_with("..")) below = ".";
  const fs::path top = root / mount.at.relative_path();
  for (below = below.lexically_normal();; below = below.parent_path()) {
    const fs::path place = below.empty() || below == "." ? top : top / below;
    mount.kind == "cgroup2" ? add_v2(place, limits) : add_v1(place, limits);
    if (place == top) return;
  }
}

}  // namespace

GroupLimits group_limits(const fs::path& root) {
  GroupLimits limits;
  const std::vector<Mount> mounts = read_mounts(root);
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // id:controllers:path
    const size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
    for (const Mount& mount : mounts) {
      const bool is_v2 = mount.kind == "cgroup2" && controllers.empty();
      const auto both_have = [&](const char* c) { return has_word(controllers, c) && has_word(mount.controllers, c); };
      if (is_v2 || both_have("memory") || both_have("cpu")) add_groups(root, mount, group, limits);
    }
  }
  return limits;
}

}  // namespace reform
