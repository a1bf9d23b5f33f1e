// Heavy-hitter oracle: sinks, the most recent half of the budget, and the slots with the highest accumulated
// attention in between (H2O, arXiv 2306.14048; as REFORM uses it, arXiv 2506.01215 section 3.1).
#include <algorithm>
#include <numeric>

#include "runtime/policies/policy.h"

namespace reform {

void keep_h2o(const EvictionInput& in, std::vector<int32_t>& keep) {
  const int64_t recent = std::min(in.budget / 2, in.budget - in.sinks);
  const int64_t heavy = in.budget - in.sinks - recent;
  const int64_t middle_begin = in.sinks, middle_end = in.kv_len - recent;

  std::vector<int32_t> middle(size_t(middle_end - middle_begin));
  std::iota(middle.begin(), middle.end(), int32_t(middle_begin));
  // Ties go to the earlier slot, so that the choice is the same everywhere.
  const auto heavier = [&](int32_t a, int32_t b) {
    const float sa = in.scores[size_t(a)], sb = in.scores[size_t(b)];
    return sa != sb ? sa > sb : a < b;
  };
  std::nth_element(middle.begin(), middle.begin() + heavy, middle.end(), heavier);
  middle.resize(size_t(heavy));
  std::sort(middle.begin(), middle.end());

  keep.clear();
  for (int64_t s = 0; s < in.sinks; ++s) keep.push_back(int32_t(s));
  keep.insert(keep.end(), middle.begin(), middle.end());
  for (int64_t s = middle_end; s < in.kv_len; ++s) keep.push_back(int32_t(s));
}

}  // namespace reform
