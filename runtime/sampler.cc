// In llama.cpp's order (top-k, top-p, min-p, temperature), so that the same flags mean the same: the nucleus is that of
// the model's own distribution, before the temperature flattens or sharpens it.
#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace reform {
namespace {

using Candidate = std::pair<float, int32_t>;  // logit, id

bool better(const Candidate& a, const Candidate& b) {
  return a.first != b.first ? a.first > b.first : a.second < b.second;
}
bool worse(const Candidate& a, const Candidate& b) { return better(b, a); }

void keep_top_k(std::vector<Candidate>& candidates, int64_t k) {
  if (k == 0 || size_t(k) >= candidates.size()) return;
  std::nth_element(candidates.begin(), candidates.begin() + k, candidates.end(), better);
  candidates.resize(size_t(k));
}

// The fewest best candidates whose probabilities reach top_p; at least one. A heap gives them in order without sorting
// the whole vocabulary.
void keep_top_p(std::vector<Candidate>& candidates, double top_p, float max_logit) {
  if (top_p >= 1) return;
  double total = 0;
  for (const Candidate& c : candidates) total += std::exp(double(c.first) - max_logit);
  std::make_heap(candidates.begin(), candidates.end(), worse);
  double sum = 0;
  auto rest = candidates.end();  // [rest, end): chosen, the best last
  do {
    std::pop_heap(candidates.begin(), rest--, worse);
    sum += std::exp(double(rest->first) - max_logit);
  } while (sum < top_p * total && rest != candidates.begin());
  candidates.erase(candidates.begin(), rest);
}

void keep_min_p(std::vector<Candidate>& candidates, double min_p, float max_logit) {
  if (min_p <= 0) return;
  const double least = double(max_logit) + std::log(min_p);
  std::erase_if(candidates, [&](const Candidate& c) { return double(c.first) < least; });
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options) : options_(options), rng_(options.seed) {}

int32_t Sampler::sample(std::span<const float> logits) {
  Candidate best{-HUGE_VALF, 0};  // every logit a NaN or -infinity: token 0, as good as any
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] > best.first) best = {logits[i], int32_t(i)};
  if (options_.temperature == 0 || std::isinf(best.first)) return best.second;

  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] > -HUGE_VALF) candidates_.emplace_back(logits[i], int32_t(i));  // false for a NaN
  keep_top_k(candidates_, options_.top_k);
  keep_top_p(candidates_, options_.top_p, best.first);
  keep_min_p(candidates_, options_.min_p, best.first);

  const auto weight = [&](const Candidate& c) {
    return std::exp((double(c.first) - best.first) / options_.temperature);
  };
  double total = 0;
  for (const Candidate& c : candidates_) total += weight(c);
  // Not std::uniform_real_distribution, whose numbers differ from library to library.
  double left = double(rng_() >> 11) * 0x1p-53 * total;
  for (const Candidate& c : candidates_)
    if ((left -= weight(c)) < 0) return c.second;
  return best.second;  // rounding left a remainder
}

}  // namespace reform
