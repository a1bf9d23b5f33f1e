#include "base/machine.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>

namespace reform {
namespace {

namespace fs = std::filesystem;

int64_t kib_field(const std::string& key) {
  std::istringstream number(line_field("/proc/meminfo", key));
  int64_t kib = 0;
  return number >> kib ? kib * 1024 : 0;
}

// v2's files, from the process's group up to the root: the least limit counts.
void read_v2(const fs::path& root, fs::path group, GroupLimits& limits) {
  const auto lower = [](auto& least, auto value) {
    if (value > 0 && (least == 0 || value < least)) least = value;
  };
  for (;; group = group.parent_path()) {
    const fs::path place = root / group.relative_path();
    int64_t bytes = 0;
    if (std::istringstream(first_line(place / "memory.max")) >> bytes) lower(limits.memory_bytes, bytes);
    double quota = 0, period = 0;
    if (std::istringstream(first_line(place / "cpu.max")) >> quota >> period && period > 0)
      lower(limits.cpu_cores, quota / period);
    if (!group.has_relative_path()) return;
  }
}

void read_v1(const fs::path& root, const std::string& controllers, const fs::path& group, GroupLimits& limits) {
  const bool is_memory = controllers == "memory", is_cpu = (',' + controllers + ',').find(",cpu,") != std::string::npos;
  if (!is_memory && !is_cpu) return;
  // In a container the group's own folder is the controller's root.
  fs::path place = root / controllers / group.relative_path();
  std::error_code error;
  if (!fs::exists(place, error)) place = root / controllers;
  if (is_memory) {
    int64_t bytes = 0;
    constexpr int64_t kNone = int64_t{1} << 62;
    if (std::istringstream(first_line(place / "memory.limit_in_bytes")) >> bytes && bytes < kNone)
      limits.memory_bytes = bytes;
  } else {
    double quota = 0, period = 0;
    std::istringstream(first_line(place / "cpu.cfs_quota_us")) >> quota;
    std::istringstream(first_line(place / "cpu.cfs_period_us")) >> period;
    if (quota > 0 && period > 0) limits.cpu_cores = quota / period;
  }
}

}  // namespace

std::string first_line(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::string line_field(const fs::path& path, const std::string& key) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const size_t colon = line.find(':');
    const size_t begin = colon == std::string::npos ? colon : line.find_first_not_of(" \t", colon + 1);
    if (begin != std::string::npos) return line.substr(begin);
  }
  return "";
}

int cores_allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return int(std::thread::hardware_concurrency());
}

MachineMemory machine_memory() { return {kib_field("MemTotal:"), kib_field("MemAvailable:")}; }

GroupLimits group_limits() {
  GroupLimits limits;
  const fs::path root = "/sys/fs/cgroup";
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // id:controllers:path
    const size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
    if (controllers.empty()) {
      read_v2(root, group, limits);
    } else {
      read_v1(root, controllers, group, limits);
    }
  }
  return limits;
}

int usable_cores() {
  const double quota = group_limits().cpu_cores;
  const int n = cores_allowed();
  return quota > 0 ? std::clamp(int(std::ceil(quota)), 1, n) : n;
}

}  // namespace reform
