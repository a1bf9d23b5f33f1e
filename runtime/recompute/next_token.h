// From the last row's hidden state to the next token's id. The id is chosen on the device, where the logits are, so
// only the id is copied.
#pragma once

#include <reform/generate.h>
#include <reform/status.h>

#include <functional>
#include <random>
#include <vector>

#include "kernels/device.h"
#include "runtime/constrain/matcher.h"
#include "runtime/model/transformer.h"
#include "runtime/tokenizer/tokenizer.h"

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
  Status wait();           // until the device has run what was issued
  Result<int32_t> take();  // kBadModel: the logits are no numbers, or all alike
  // As if there were only tokens that `matcher` allows next, and those that end a text where it may end. kUsage: there
  // is none.
  Result<int32_t> take_allowed(const Matcher& matcher, const Tokenizer& tokenizer, Ops& ops);
  // Of the token that was taken, until the next issue().
  Result<AnswerToken> logprobs(int32_t id, int64_t n_top, const Tokenizer& tokenizer) const;

 private:
  NextToken(Device& device, const SamplingOptions& options)
      : device_(&device), options_(options), random_(options.seed), draw_(next_draw(options_, random_)) {}
  bool is_greedy() const { return options_.temperature == 0; }
  Status check_choice(int32_t id);
  Result<std::vector<float>> logits_on_host() const;
  void choose(Ops& ops);
  Status leave_out(const std::function<bool(int32_t id)>& is_allowed);

  Device* device_;
  SamplingOptions options_;
  std::mt19937_64 random_;
  Draw draw_;
  Buffer<float> logits_;
  Buffer<int32_t> id_;
  bool checked_ = false;           // the first token's logits
  std::vector<float> all_logits_;  // if some were left out
};

}  // namespace reform
