// Ops::draw on the host. The filters follow llama.cpp's order (top-k, top-p, min-p, temperature), so that the same
// flags mean the same. top_p is of the model's own distribution, before the temperature flattens or sharpens it.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/ops.h"

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

// Keeps the fewest best candidates whose probabilities reach top_p, at least one. A heap gives them in order without
// sorting the whole vocabulary.
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

void Ops::draw(std::span<const float> logits, const Draw& draw, int32_t* id) {
  argmax(logits, id);
  const float best = logits[size_t(*id)];
  if (!std::isfinite(best)) return;  // the best is infinite, or none is a number
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] > -HUGE_VALF) candidates.emplace_back(logits[i], int32_t(i));  // false for a NaN
  keep_top_k(candidates, draw.top_k);
  keep_top_p(candidates, draw.top_p, best);
  keep_min_p(candidates, draw.min_p, best);
  if (draw.top_k > 0 || draw.top_p < 1) {  // these two change the order of the candidates
    std::sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  }

  const auto weight = [&](const Candidate& c) { return std::exp((double(c.first) - best) / draw.temperature); };
  double total = 0;
  for (const Candidate& c : candidates) total += weight(c);
  double left = draw.uniform * total;
  for (const Candidate& c : candidates) {
    if ((left -= weight(c)) >= 0) continue;
    *id = c.second;
    return;
  }  // rounding left a remainder: the best one then
}

}  // namespace reform
