// What of sampling is a text's and not a token's: the options, and the random numbers. Deterministic by seed.
#pragma once

#include <reform/generate.h>

#include <random>

#include "kernels/ops.h"

namespace reform {

class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options) : options_(options), rng_(options.seed) {}
  bool is_greedy() const { return options_.temperature == 0; }  // then it is Ops::argmax()
  Draw next();                                                  // else Ops::draw() by this

 private:
  SamplingOptions options_;
  std::mt19937_64 rng_;
};

}  // namespace reform
