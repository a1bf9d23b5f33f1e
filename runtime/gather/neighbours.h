// Raises a passage's score by a share of its better neighbour's: what answers a question often stands beside what
// sounds like it.
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "runtime/gather/best_passages.h"

namespace reform {

class Neighbours {
 public:
  // On natural questions, shares from 0.3 to 0.5 found all evidence within 1,024 tokens for 4 to 6 questions in 100
  // more than none, and within each budget from 512 to 4,096.
  static constexpr double kShare = 0.4;

  explicit Neighbours(std::function<void(ScoredPassage)> on_passage) : on_passage_(std::move(on_passage)) {}

  void add(ScoredPassage passage);  // of one context, in order
  void end_context();

 private:
  void settle(std::optional<double> next_score);

  const std::function<void(ScoredPassage)> on_passage_;
  std::optional<ScoredPassage> waiting_;  // for its next neighbour; its score is its own
  std::optional<double> before_;          // the own score of the one before it
};

}  // namespace reform
