// Attention sinks and a window of recent tokens: StreamingLLM, arXiv 2309.17453.
#include "runtime/compress/policies/policy.h"

namespace reform {

KeptSlots keep_recent(int64_t budget, int64_t sinks) { return {.first = sinks, .last = budget - sinks}; }

}  // namespace reform
