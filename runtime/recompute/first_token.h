// What the model would answer first: the distribution of the token after a prompt (OPRM, arXiv 2505.07793).
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "runtime/model/model.h"
#include "runtime/recompute/whole_model.h"

namespace reform {

struct FirstTokenGuess {
  int32_t likeliest = 0;    // of equally likely ones the first
  double entropy_nats = 0;  // of the distribution, at temperature 1
};
// Of logits [n_vocab]. Infinite entropy if a logit is NaN.
FirstTokenGuess guess_of(std::span<const float> logits);

// Takes the guesses of several prompts and keeps the surest, the one of the least entropy; of equal ones the first.
// A guess whose likeliest token is `left_out` does not count.
class SurestGuess {
 public:
  explicit SurestGuess(std::vector<int32_t> left_out) : left_out_(std::move(left_out)) {}

  bool add(const FirstTokenGuess& guess);  // whether it is the surest so far

 private:
  const std::vector<int32_t> left_out_;
  std::optional<double> least_nats_;
};

class FirstToken {
 public:
  static OpLimits limits(const ModelShape& shape, const Device& device, int64_t n_prompt_tokens);
  // For prompts of up to n_prompt_tokens, one after another. All memory is allocated here.
  static Result<std::unique_ptr<FirstToken>> create(const Model& model, const Site& site, KvView::Type kv_type,
                                                    int64_t n_prompt_tokens);

  // Runs a prompt from an empty cache.
  Result<FirstTokenGuess> run(std::span<const int32_t> prompt, const CancelToken* cancel);

 private:
  explicit FirstToken(Device& device) : device_(device) {}

  Device& device_;
  WholeModel whole_;
  Buffer<float> logits_;       // [n_vocab]
  Buffer<float> host_logits_;  // [n_vocab]
};

}  // namespace reform
