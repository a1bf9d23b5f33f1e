// The limits of this process's control groups: its own and all above it, cgroup v2 and v1.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace reform {

struct GroupLimits {
  double cpu_cores = 0;      // 0: no limit
  int64_t memory_bytes = 0;  // the tightest limit on memory; 0: none
  // Of the limit that leaves least, which may be another one: what it leaves, page cache that the kernel can drop
  // counted as free, and the file that holds it.
  int64_t memory_left_bytes = INT64_MAX;
  std::string memory_file;
};

// `root`: where /proc and /sys are found; tests have their own.
GroupLimits group_limits(const std::filesystem::path& root = "/");

}  // namespace reform
