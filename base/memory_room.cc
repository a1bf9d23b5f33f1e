#include "base/memory_room.h"

#include <fmt/format.h>
#include <reform/units.h>
#include <sys/resource.h>

#include <algorithm>

#include "base/control_group.h"
#include "base/machine.h"

namespace reform {
namespace {

namespace fs = std::filesystem;

void lower(MemoryRoom& room, int64_t bytes, const std::string& limit) {
  if (bytes < room.bytes) room = {std::max<int64_t>(0, bytes), limit};
}

void lower_to_ulimit(MemoryRoom& room, int resource, int64_t used_bytes, const char* flag) {
  rlimit limit{};
  if (::getrlimit(__rlimit_resource_t(resource), &limit) != 0 || limit.rlim_cur >= rlim_t(INT64_MAX)) return;
  const auto bytes = int64_t(limit.rlim_cur);
  lower(room, bytes - used_bytes, fmt::format("the process's limit of {} (ulimit {})", format_bytes(bytes), flag));
}

}  // namespace

MemoryRoom limited_room(const fs::path& root) {
  MemoryRoom room;
  const GroupLimits group = group_limits(root);
  if (!group.memory_file.empty()) {
    lower(room, group.memory_left_bytes, fmt::format("a limit of the control group ({})", group.memory_file));
  }
  const fs::path self = root / "proc/self/status";
  lower_to_ulimit(room, RLIMIT_AS, kib_field(self, "VmSize:"), "-v");
  lower_to_ulimit(room, RLIMIT_DATA, kib_field(self, "VmData:"), "-d");
  return room;
}

MemoryRoom memory_room(const fs::path& root) {
  MemoryRoom room = limited_room(root);
  const fs::path machine = root / "proc/meminfo";
  if (kib_field(machine, "MemTotal:") == 0) return room;
  lower(room, kib_field(machine, "MemAvailable:") + kib_field(machine, "SwapFree:"),
        fmt::format("what the machine has, swap included ({} of memory in all)",
                    format_bytes(kib_field(machine, "MemTotal:"))));
  return room;
}

}  // namespace reform
