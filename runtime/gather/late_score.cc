#include "runtime/gather/late_score.h"

#include <cmath>
#include <numeric>

namespace reform {

LateScore::LateScore(const ScoreMaps& maps, std::vector<double> weights) : maps_(maps), weights_(std::move(weights)) {
  const double sum = std::accumulate(weights_.begin(), weights_.end(), 0.0);
  // A question of words that stand everywhere: they all count the same.
  for (double& weight : weights_) weight = sum > 0 ? weight / sum : 1 / double(weights_.size());
}

std::vector<double> LateScore::parts(int64_t n_tokens, std::span<const float> cosines,
                                     std::span<const float> shares) const {
  const size_t n = weights_.size();
  std::vector<double> parts;
  parts.reserve(maps_.heads.size() + 2);
  for (size_t h = 0; h < maps_.heads.size(); ++h) {
    double mean = 0;
    for (size_t t = 0; t < n; ++t) mean += weights_[t] * double(cosines[h * n + t]);
    parts.push_back(maps_.heads[h](mean));  // the weights' sum is 1 and the map is affine, so the mean may be mapped
  }
  double share = 0;
  for (size_t t = 0; t < n; ++t) share += double(shares[t]) * weights_[t];
  parts.push_back(maps_.lexical(share));
  parts.push_back(maps_.length_weight * std::log(double(n_tokens)));
  return parts;
}

}  // namespace reform
