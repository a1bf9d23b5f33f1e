#include "runtime/gather/best_passages.h"

#include <algorithm>
#include <utility>

namespace reform {

bool BestPassages::better(const ScoredPassage& a, const ScoredPassage& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.context != b.context ? a.context < b.context : a.begin_token < b.begin_token;
}

bool BestPassages::wants(double score) const {
  return budget_tokens_ > 0 && (n_tokens_ < budget_tokens_ || score > heap_.front().score);
}

void BestPassages::add(ScoredPassage passage) {
  n_tokens_ += passage.n_tokens();
  heap_.push_back(std::move(passage));
  std::push_heap(heap_.begin(), heap_.end(), better);
  while (n_tokens_ - heap_.front().n_tokens() >= budget_tokens_) {
    std::pop_heap(heap_.begin(), heap_.end(), better);
    n_tokens_ -= heap_.back().n_tokens();
    heap_.pop_back();
  }
}

std::vector<ScoredPassage> BestPassages::take() {
  std::sort_heap(heap_.begin(), heap_.end(), better);
  n_tokens_ = 0;
  return std::exchange(heap_, {});
}

}  // namespace reform
