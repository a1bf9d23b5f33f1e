// Attention sinks and a window of recent tokens: StreamingLLM, arXiv 2309.17453.
#include "runtime/policies/policy.h"

namespace reform {

void keep_recent(const EvictionInput& in, std::vector<int32_t>& keep) {
  keep.clear();
  for (int64_t s = 0; s < in.sinks; ++s) keep.push_back(int32_t(s));
  for (int64_t s = in.kv_len - (in.budget - in.sinks); s < in.kv_len; ++s) keep.push_back(int32_t(s));
}

}  // namespace reform
