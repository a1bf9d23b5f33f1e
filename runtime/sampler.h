// Sampling: greedy, or temperature after top-k, top-p and min-p, in llama.cpp's order. Deterministic by seed.
#pragma once

#include <reform/generate.h>

#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace reform {

class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options);
  // logits [n_vocab]. Ties go to the lower id. NaN never wins.
  int32_t sample(std::span<const float> logits);
  bool is_greedy() const { return options_.temperature == 0; }  // then it is Ops::argmax()

 private:
  SamplingOptions options_;
  std::mt19937_64 rng_;
  std::vector<std::pair<float, int32_t>> candidates_;
};

}  // namespace reform
