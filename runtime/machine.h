// What the operating system says of the machine. Private to runtime/.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace reform {

std::string kernel_name();
std::string cpu_name();
int cores_allowed();     // that this process may run on
int cores_of_machine();  // online

struct MachineMemory {
  int64_t total_bytes = 0, available_bytes = 0;
};
MachineMemory machine_memory();

// Limits of this process's control group and those above it: cgroup v2, or v1; 0: none.
struct GroupLimits {
  double cpu_cores = 0;
  int64_t memory_bytes = 0;
};
GroupLimits group_limits();

std::vector<std::string> gpus_seen();

}  // namespace reform
