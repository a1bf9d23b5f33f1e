// The part of sampling that lasts over a text: the options and the random numbers. Deterministic by seed.
#pragma once

#include <reform/generate.h>

#include <random>

#include "kernels/ops.h"

namespace reform {

class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options) : options_(options), rng_(options.seed) {}
  bool is_greedy() const { return options_.temperature == 0; }  // then use Ops::argmax()
  Draw next();                                                  // else pass this to Ops::draw()

 private:
  SamplingOptions options_;
  std::mt19937_64 rng_;
};

}  // namespace reform
