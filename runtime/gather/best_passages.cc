#include "runtime/gather/best_passages.h"

#include <algorithm>
#include <utility>

namespace reform {
namespace {

bool better(const ScoredPassage& a, const ScoredPassage& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.context != b.context ? a.context < b.context : a.begin_token < b.begin_token;
}

}  // namespace

void BestPassages::add(ScoredPassage passage) {
  if (budget_tokens_ <= 0) return;
  kept_.push_back(std::move(passage));
  if (kept_.size() >= full_) forget();
}

void BestPassages::forget() {
  std::sort(kept_.begin(), kept_.end(), better);
  int64_t longest = 0;
  for (const ScoredPassage& p : kept_) longest = std::max(longest, p.n_tokens());
  std::vector<int64_t> up_to(size_t(longest) + 1);  // tokens of the better passages that have up to so many
  std::vector<ScoredPassage> kept;
  for (ScoredPassage& p : kept_) {
    const int64_t n = p.n_tokens();
    if (up_to[size_t(n)] >= budget_tokens_) continue;
    for (auto i = size_t(n); i < up_to.size(); ++i) up_to[i] += n;
    kept.push_back(std::move(p));
  }
  kept_ = std::move(kept);
  full_ = std::max(kLeast, 2 * kept_.size());
}

std::vector<ScoredPassage> BestPassages::take() {
  forget();
  full_ = kLeast;
  return std::exchange(kept_, {});
}

}  // namespace reform
