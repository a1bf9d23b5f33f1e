#include "base/machine.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/control_group.h"

namespace reform {
namespace {

namespace fs = std::filesystem;

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

int64_t kib_field(const fs::path& path, const std::string& key) {
  std::istringstream number(line_field(path, key));
  int64_t kib = 0;
  return number >> kib ? kib * 1024 : 0;
}

MachineMemory machine_memory() {
  const fs::path machine = "/proc/meminfo";
  return {kib_field(machine, "MemTotal:"), kib_field(machine, "MemAvailable:")};
}

int usable_cores() {
  const double quota = group_limits().cpu_cores;
  const int n = cores_allowed();
  return quota > 0 ? std::clamp(int(std::ceil(quota)), 1, n) : n;
}

}  // namespace reform
