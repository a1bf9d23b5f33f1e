#include "runtime/gather/neighbours.h"

#include <algorithm>

namespace reform {

void Neighbours::settle(std::optional<double> next_score) {
  if (!waiting_) return;
  ScoredPassage passage = *std::exchange(waiting_, std::nullopt);
  const double own = passage.score;
  // A passage without neighbours counts as its own, so that short contexts are no worse off.
  const double better =
      before_ && next_score ? std::max(*before_, *next_score) : before_.value_or(next_score.value_or(own));
  passage.score += kShare * better;
  before_ = own;
  on_passage_(std::move(passage));
}

void Neighbours::add(ScoredPassage passage) {
  settle(passage.score);
  waiting_ = std::move(passage);
}

void Neighbours::end_context() {
  settle(std::nullopt);
  before_.reset();
}

}  // namespace reform
