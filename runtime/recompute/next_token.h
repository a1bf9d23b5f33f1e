// From the last row's hidden state to the next token's id, which is found where the logits are: it alone is copied.
#pragma once

#include <reform/generate.h>
#include <reform/status.h>

#include "kernels/device.h"
#include "runtime/model/transformer.h"
#include "runtime/recompute/sampler.h"

namespace reform {

class NextToken {
 public:
  // The logits and the id count as the device's activations.
  static Result<NextToken> create(Device& device, int64_t n_vocab, const SamplingOptions& options);

  StepKind step_kind() const { return sampler_.is_greedy() ? StepKind::kBest : StepKind::kDrawn; }
  // Ops only, if all weights are resident. The same again until the token has been taken.
  Status issue(Transformer& transformer, Ops& ops, const CancelToken* cancel);
  Result<int32_t> take();

 private:
  NextToken(Device& device, const SamplingOptions& options)
      : device_(&device), sampler_(options), draw_(sampler_.next()) {}

  Device* device_;
  Sampler sampler_;
  Draw draw_;
  Buffer<float> logits_;
  Buffer<int32_t> id_;
};

}  // namespace reform
