// What this process may use of the machine: cores and memory.
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

// As many threads as can run at once: cores_allowed(), or less where the control group's time is for fewer.
int usable_cores();

// The value of the first "key: value" line of a file like /proc/cpuinfo; "" if there is none.
std::string line_field(const std::filesystem::path& path, const std::string& key);
// Of a line such as "MemFree: 12 kB", in bytes; 0 if there is none.
int64_t kib_field(const std::filesystem::path& path, const std::string& key);
std::string first_line(const std::filesystem::path& path);

}  // namespace reform
