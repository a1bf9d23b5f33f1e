// Chooses the heads of a set, their weights and maps.
#pragma once

#include <reform/cancel.h>
#include <reform/status.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "runtime/compress/head_set.h"
#include "runtime/heads/feature_table.h"

namespace reform {

// The best set with heads of layers [0, last_layer], judged on questions about texts that it was not chosen on.
struct DepthResult {
  int64_t last_layer = 0;
  int64_t n_heads = 0;
  Recall recall = {};
};

class HeadChooser {
 public:
  static constexpr int64_t kMostHeads = 12;
  static int64_t bytes(const SearchText& text);  // the most memory that it takes, beside the table's

  // `heads` are those of the table, by layer.
  HeadChooser(FeatureTable& table, const Heads& heads, ThreadPool& pool, const CancelToken* cancel);

  // kCancelled.
  Result<DepthResult> judge(int64_t last_layer);
  // The set of as many heads as judge() found best, chosen on all questions.
  Result<HeadSet> choose(const DepthResult& depth);

 private:
  // A set as it grew.
  struct Growth {
    std::vector<int64_t> heads;
    std::vector<std::vector<double>> weights;  // with the first k heads: of the lexical share, the length and the heads
  };
  int64_t heads_up_to(int64_t last_layer) const;
  bool cancelled() const { return cancel_ != nullptr && cancel_->cancelled(); }
  Growth grow(int64_t last_layer, std::vector<bool> used, int64_t n_heads) const;
  // The scores of the questions in `asked` [asked, n_passages], by the first k heads for each k, one after the other.
  using OnScores = std::function<void(size_t k, const std::vector<float>& scores)>;
  Status score(const Growth& growth, std::span<const int64_t> asked, size_t first_k, const OnScores& on_scores);
  void add_confidence(std::span<const float> scores, ScoreMaps& maps) const;

  FeatureTable& table_;
  const SearchText& text_;
  const Heads& heads_;
  ThreadPool& pool_;
  const CancelToken* const cancel_;
};

// Two weights by logistic regression: the chance that x is of `yes` and not of `no` is 1 / (1 + exp(-(offset + slope
// x))).
struct Confidence {
  double offset = 0, slope = 0;
};
Confidence fit_confidence(const std::vector<double>& yes, const std::vector<double>& no);

}  // namespace reform
