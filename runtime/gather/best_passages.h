// Keeps the best passages that a budget of tokens has room for.
#pragma once

#include <cstddef>
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

// Takes passages one by one, in any order, and forgets those that choose_passages() (passage_spans.h) would not take
// from a list of all. It takes a passage only after all better ones of at most the same length, since they came first
// and needed no more room. So a passage can go once those fill the budget, and of each length no more is kept than a
// budget's tokens and one passage.
class BestPassages {
 public:
  explicit BestPassages(int64_t budget_tokens) : budget_tokens_(budget_tokens) {}

  void add(ScoredPassage passage);
  // Best first; of equal ones the earlier. The first that fill the budget are those of a list of all.
  std::vector<ScoredPassage> take();

 private:
  static constexpr size_t kLeast = 64;

  void forget();

  const int64_t budget_tokens_;
  size_t full_ = kLeast;  // so many are kept before some are forgotten
  std::vector<ScoredPassage> kept_;
};

}  // namespace reform
