#include "runtime/machine.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace reform {
namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// The value of the first "key: value" line of a file like /proc/cpuinfo.
std::string field(const fs::path& path, const std::string& key) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const size_t colon = line.find(':');
    const size_t begin = colon == std::string::npos ? colon : line.find_first_not_of(" \t", colon + 1);
    if (begin != std::string::npos) return line.substr(begin);
  }
  return "";
}

int64_t kib_field(const std::string& key) {
  std::istringstream number(field("/proc/meminfo", key));
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

const char* maker(const std::string& vendor) {
  return vendor == "0x10de" ? "NVIDIA" : vendor == "0x1002" ? "AMD" : vendor == "0x8086" ? "Intel" : nullptr;
}

}  // namespace

std::string kernel_name() {
  utsname name{};
  if (::uname(&name) != 0) return "";
  return fmt::format("{} {} {}", name.sysname, name.release, name.machine);
}

std::string cpu_name() {
  const std::string name = field("/proc/cpuinfo", "model name");
  return name.empty() ? field("/proc/cpuinfo", "CPU part") : name;
}

int cores_allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return cores_of_machine();
}

int cores_of_machine() { return int(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN))); }

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

std::vector<std::string> gpus_seen() {
  std::vector<std::string> gpus;
  std::error_code error;
  for (const fs::directory_entry& gpu : fs::directory_iterator("/proc/driver/nvidia/gpus", error)) {
    const std::string model = field(gpu.path() / "information", "Model:");
    gpus.push_back("NVIDIA " + (model.starts_with("NVIDIA ") ? model.substr(7) : model));
  }
  const bool nvidia_named = !gpus.empty();
  for (const fs::directory_entry& device : fs::directory_iterator("/sys/bus/pci/devices", error)) {
    const std::string kind = first_line(device.path() / "class");  // 0x03xxxx: a display controller
    const char* who = maker(first_line(device.path() / "vendor"));
    if (!kind.starts_with("0x03") || who == nullptr || (nvidia_named && std::string(who) == "NVIDIA")) continue;
    gpus.push_back(fmt::format("{} (PCI {})", who, device.path().filename().string()));
  }
  return gpus;
}

}  // namespace reform
