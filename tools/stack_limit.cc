#include "tools/stack_limit.h"

#include <fmt/format.h>
#include <reform/units.h>
#include <sys/resource.h>

namespace reform::tool {

// Twice what every verb was seen to work with.
constexpr rlim_t kLeastBytes = 256 * kKiB;

std::string too_small_stack() {
  rlimit limit{};
  if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= kLeastBytes) return "";
  return fmt::format("the stack may have only {} (ulimit -s), and {} are needed; raise that limit",
                     format_bytes(int64_t(limit.rlim_cur)), format_bytes(int64_t(kLeastBytes)));
}

}  // namespace reform::tool
