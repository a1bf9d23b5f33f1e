// From the last row's hidden state to the next token's id. The id is chosen on the device, where the logits are, so
// only the id is copied.
#pragma once

#include <reform/generate.h>
#include <reform/status.h>

#include <random>

#include "kernels/device.h"
#include "runtime/model/transformer.h"

namespace reform {

// How the next token is drawn. Takes one number from `random`, which the text's seed began: the same seed draws the
// same text.
Draw next_draw(const SamplingOptions& options, std::mt19937_64& random);

class NextToken {
 public:
  // The logits and the id count as the device's activations.
  static Result<NextToken> create(Device& device, int64_t n_vocab, const SamplingOptions& options);

  StepKind step_kind() const { return is_greedy() ? StepKind::kBest : StepKind::kDrawn; }
  // Issues only ops if all weights are resident. May be repeated, with the same result, until take().
  Status issue(Transformer& transformer, Ops& ops, const CancelToken* cancel);
  Result<int32_t> take();  // kBadModel: the logits are no numbers, or all alike

 private:
  NextToken(Device& device, const SamplingOptions& options)
      : device_(&device), options_(options), random_(options.seed), draw_(next_draw(options_, random_)) {}
  bool is_greedy() const { return options_.temperature == 0; }
  Status check_choice(int32_t id);

  Device* device_;
  SamplingOptions options_;
  std::mt19937_64 random_;
  Draw draw_;
  Buffer<float> logits_;
  Buffer<int32_t> id_;
  bool checked_ = false;  // the first token's logits
};

}  // namespace reform
