// The score of late interaction: how well a passage fits a question, token by token of the question (after ColBERT's
// MaxSim, arXiv 2004.12832, with a map per head and a weight per token).
//
//   score = sum over the question's tokens t of rarity(t) / (sum of all rarities)
//           * ( sum over heads h of map_h(largest cosine of t's state with the passage's states)
//               + map_lexical(share of t's word in the passage, words.h) )
//           + length_weight * ln(tokens of the passage)
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/compress/head_set.h"

namespace reform {

class LateScore {
 public:
  // weights [n_query]: of the question's tokens, >= 0. They are divided by their sum.
  LateScore(const ScoreMaps& maps, std::vector<double> weights);

  int64_t n_query() const { return int64_t(weights_.size()); }
  // What each head, then the lexical comparison, and last the length add to the score of a passage of n_tokens.
  // cosines [n_heads, n_query]: the largest in the passage; shares [n_query]: of its words (words.h).
  std::vector<double> parts(int64_t n_tokens, std::span<const float> cosines, std::span<const float> shares) const;

 private:
  const ScoreMaps& maps_;
  std::vector<double> weights_;
};

}  // namespace reform
