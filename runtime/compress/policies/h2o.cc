// Heavy-hitter oracle: sinks, the most recent half of the budget, and the slots with the highest accumulated
// attention in between (H2O, arXiv 2306.14048; as REFORM uses it, arXiv 2506.01215 section 3.1).
#include <algorithm>

#include "runtime/compress/policies/policy.h"

namespace reform {

KeptSlots keep_h2o(int64_t budget, int64_t sinks) {
  const int64_t recent = std::min(budget / 2, budget - sinks);
  return {.first = sinks, .heaviest = budget - sinks - recent, .last = recent};
}

}  // namespace reform
