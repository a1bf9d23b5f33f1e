// Chosen passages as spans.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/gather/best_passages.h"
#include "runtime/gather/gather.h"

namespace reform {

struct ChosenPassage {
  ScoredPassage passage;
  int round = 1;  // that found it
};

// Takes passages while they fit into what is left of the budget. There is a ranking, best first, for each part of the
// question; the one that has had fewest tokens in this call takes its next. A passage that is too large is passed over,
// and the very first is cut if it must be. Passages that are chosen already do not count again.
void choose_passages(std::span<const std::vector<ScoredPassage>> rankings, int round, int64_t budget_tokens,
                     std::vector<ChosenPassage>& chosen);

// The passages by context and position, touching ones joined, with what they leave of each context's first and last
// edge_tokens.
std::vector<Span> make_passage_spans(std::vector<ChosenPassage> chosen, std::span<const int64_t> n_tokens,
                                     int64_t edge_tokens);

}  // namespace reform
