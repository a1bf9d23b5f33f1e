// Phase 2, gather: which stored tokens answer the question (REFORM section 3.2). Scores stream through, so that memory
// does not grow with the text.
//
// A token's score is the max over the question's tokens of the mean over heads of the cosine (kernels/ops.h, score()).
// A centred max-pool smooths the scores; the best `budget` tokens are taken; the first and last `edge` tokens of each
// context are added.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <span>
#include <vector>

namespace reform {

struct GatheredToken {
  int32_t context = 0;  // 0 for the first begin_context()
  int64_t token = 0;
  float score = 0;  // pooled
};

// Takes the scores of one context after the other, in order within each; take() gives the chosen tokens.
class Gatherer {
 public:
  // Chooses budget_tokens by score, over all contexts. The max-pool is over pool_window tokens, an odd number.
  Gatherer(int64_t budget_tokens, int64_t pool_window);

  // The first and last `edge_tokens` of the context's n_tokens are not candidates, since make_spans() adds them anyway.
  void begin_context(int64_t n_tokens, int64_t edge_tokens);
  void add_scores(std::span<const float> scores);
  void end_context();

  // The best tokens over all contexts, by context and position.
  std::vector<GatheredToken> take();

 private:
  struct Candidate {
    float pooled = 0;
    int32_t peak_distance = 0;  // pooling makes plateaus; in one, the tokens nearest to the raw peak come first, so
                                // that the budget's cut falls at a span's rim and not in its middle
    int32_t context = 0;
    int64_t token = 0;
  };
  static bool better(const Candidate& a, const Candidate& b);
  void settle_until(int64_t token_end);

  const int64_t budget_tokens_, pool_window_;
  std::vector<Candidate> heap_;  // the worst on top
  int32_t context_ = -1;
  int64_t n_tokens_ = 0, edge_tokens_ = 0, n_scored_ = 0, n_settled_ = 0;
  struct Peak {
    float score = 0;
    int64_t token = 0;
  };
  std::deque<Peak> window_;  // falling scores within reach: the front is the window's maximum
};

inline constexpr float kUnscored = std::numeric_limits<float>::quiet_NaN();

// A run of consecutive tokens of one context.
struct Span {
  int32_t context = 0;
  int64_t begin_token = 0, end_token = 0;
  bool edge = false;
  float score = 0;  // the best of its tokens' or passages'; 0 for edges; kUnscored if it was not chosen by a score
  // Of the best passage, if it was chosen by late interaction: its round, and the parts of its score (late_score.h).
  int round = 0;
  std::vector<double> parts = {};
  int64_t best_begin_token = 0, best_end_token = 0;  // that passage, if there is a round
};

// The chosen tokens and each context's edges as spans, by context and position. A span is all edge or all match; two
// spans touch where no text lies between them.
std::vector<Span> make_spans(std::span<const GatheredToken> chosen, std::span<const int64_t> n_tokens,
                             std::span<const int64_t> edge_tokens);

// Edge tokens on each side of each context: `edge_tokens` if there is one context; the edges of several take at most a
// quarter of the budget together.
int64_t edge_tokens_per_side(int64_t edge_tokens, int64_t budget_tokens, int64_t n_contexts);

}  // namespace reform
