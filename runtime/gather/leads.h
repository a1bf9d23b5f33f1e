// The passages that a second round may start from: those that are best by themselves, without their neighbours.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "runtime/gather/best_passages.h"

namespace reform {

// A second round asks with so many sentences of the leads at most: with one, it found 26 to 50 of 56 second hops, with
// four 54.
inline constexpr size_t kMostSentences = 4;

struct Lead {
  ScoredPassage passage;  // its score is its own
  size_t part = 0;        // of the question, which it fits
  std::vector<std::byte> rows;
};

class Leads {
 public:
  // One alone may be a passage that shares the question's common words only.
  static constexpr size_t kMost = 8;

  // Of a passage that comes for several parts, that for which it is best stays.
  void add(const ScoredPassage& passage, size_t part, std::span<const std::byte> rows);
  const std::vector<Lead>& best_first() const { return leads_; }  // of equal ones, the one that came first

 private:
  std::vector<Lead> leads_;
};

}  // namespace reform
