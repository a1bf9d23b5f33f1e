// The limit on a process's stack (`ulimit -s`), which its threads' stacks follow.
#pragma once

#include <string>

namespace reform::tool {

// What to say where the stack may be too small for RocksDB, whose reads use more than 64 KiB. "": it is large enough.
std::string too_small_stack();

}  // namespace reform::tool
