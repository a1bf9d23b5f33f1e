// The attention that each slot has received, for each layer and KV head (the mean over its query heads). Every query
// multiplies what was there by `decay` before it adds its own probabilities.
#pragma once

#include <vector>

#include "runtime/compress/policies/policy.h"

namespace reform {

class FadingScores {
 public:
  // `lead`: how many slots at the front of a cache may have no score of their own. The first slot that has one is
  // score 0.
  static Result<FadingScores> create(const PolicySetup& setup, double decay, int64_t lead = 0);

  // As EvictionPolicy::observe. The first n_lead <= lead slots have no score.
  void observe(int64_t layer, const AttentionArgs& args, MatView<const float> lse, int64_t n_lead = 0);
  std::span<float> of(int64_t layer, int64_t kv_head);  // [capacity]
  void reset();
  std::vector<StatePart> state(int64_t layer);

 private:
  FadingScores(const PolicySetup& setup, double decay, int64_t lead, Buffer<float> scores);
  std::span<float> with_lead(int64_t layer, int64_t kv_head);
  void weigh_rows(int64_t n_rows);

  PolicySetup setup_;
  double decay_;
  int64_t lead_;
  Buffer<float> scores_;       // [n_layers, n_kv_heads, lead + capacity]
  std::vector<int32_t> rows_;  // of the current call: those whose weight is not too small to count
  std::vector<float> weights_;
};

}  // namespace reform
