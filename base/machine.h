// What this process may use of the machine: cores, memory, and the limits of its control group.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace reform {

int cores_allowed();  // cores that this process may run on

struct MachineMemory {
  int64_t total_bytes = 0, available_bytes = 0;
};
MachineMemory machine_memory();

// The tightest limits of this process's control group and those above it (cgroup v2, or v1). 0: no limit.
struct GroupLimits {
  double cpu_cores = 0;
  int64_t memory_bytes = 0;
};
GroupLimits group_limits();

// As many threads as can run at once: cores_allowed(), or less where the control group's time is for fewer.
int usable_cores();

// The value of the first "key: value" line of a file like /proc/cpuinfo; "" if there is none.
std::string line_field(const std::filesystem::path& path, const std::string& key);
std::string first_line(const std::filesystem::path& path);

}  // namespace reform
