// How much memory this process may still take before the system refuses it, slows it down or kills it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace reform {

struct MemoryRoom {
  int64_t bytes = INT64_MAX;
  std::string limit;  // "a limit of the control group (/sys/fs/cgroup/jobs/memory.max)"; empty: none is known
};

// What the control groups and ulimit -v and -d leave.
MemoryRoom limited_room(const std::filesystem::path& root = "/");
// The same, or what the machine has available if that is less: free memory, page cache that the kernel can drop, and
// free swap.
MemoryRoom memory_room(const std::filesystem::path& root = "/");

}  // namespace reform
