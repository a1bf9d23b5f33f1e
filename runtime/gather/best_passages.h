// Keeps the best passages that a budget of tokens has room for.
#pragma once

#include <cstdint>
#include <vector>

namespace reform {

struct ScoredPassage {
  int32_t context = 0;
  int64_t begin_token = 0, end_token = 0;
  double score = 0;
  std::vector<double> parts;  // what each head, the lexical comparison and the length add to it (late_score.h)

  int64_t n_tokens() const { return end_token - begin_token; }
};

// Takes passages one by one, in any order, and forgets those that cannot be among the chosen.
class BestPassages {
 public:
  explicit BestPassages(int64_t budget_tokens) : budget_tokens_(budget_tokens) {}

  bool wants(double score) const;  // whether add() would keep a passage with this score
  void add(ScoredPassage passage);
  // Best first; of equal ones the earlier. Their tokens fill the budget or pass it by less than one passage.
  std::vector<ScoredPassage> take();

 private:
  static bool better(const ScoredPassage& a, const ScoredPassage& b);

  const int64_t budget_tokens_;
  int64_t n_tokens_ = 0;             // of the heap
  std::vector<ScoredPassage> heap_;  // the worst on top
};

}  // namespace reform
