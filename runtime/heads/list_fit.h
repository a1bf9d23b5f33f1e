// Weights for features, so that in each list of rows the right ones score highest: logistic regression over lists.
//
//   loss = mean over lists of ( ln sum over rows of exp(score) - sum over rows of gold * score ) + l2 / 2 * |weights|^2
//   score = ln(row's count) + sum over features of weight * value
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/views.h"

namespace reform {

struct Lists {
  std::vector<int64_t> ends;  // [n_lists]: where each list's rows end
  std::vector<float> gold;    // [n_rows]: sums to 1 in each list
  std::vector<float> counts;  // [n_rows]: how many rows like it the row stands for

  int64_t n_lists() const { return int64_t(ends.size()); }
  int64_t n_rows() const { return int64_t(gold.size()); }
  int64_t begin(int64_t list) const { return list == 0 ? 0 : ends[size_t(list - 1)]; }
};

// A fit that grows feature by feature.
class ListFit {
 public:
  static constexpr int64_t kMaxFeatures = 16;

  static int64_t bytes(int64_t n_rows) { return n_rows * (kMaxFeatures + 3) * int64_t(sizeof(float)); }

  // The lists that it sees: used [n_lists]. `lists` must outlive it.
  ListFit(const Lists& lists, std::vector<bool> used, double l2);

  // Adds a feature, values [n_rows], with weight 0.
  void add(std::span<const float> values);
  // Newton's method, from the weights as they are.
  void fit();

  const std::vector<double>& weights() const { return weights_; }
  // By how much the loss would fall, in second order and with l2 = 0, for each column of candidates [n_rows, n], if it
  // were added and its weight alone were fitted. Neither a column's mean nor its scale matters.
  std::vector<double> gains(MatView<const int16_t> candidates) const;

 private:
  void predict(const std::vector<double>& weights);
  double loss(const std::vector<double>& weights) const;
  double list_loss(int64_t list) const;
  std::vector<double> newton_step() const;
  const float* row(int64_t r) const { return &values_[size_t(r * kMaxFeatures)]; }

  const Lists& lists_;
  const std::vector<bool> used_;
  const double l2_;
  const int64_t n_used_;
  std::vector<double> weights_;          // [n_features]
  std::vector<float> values_;            // [n_rows, kMaxFeatures]; 0 where there is no feature yet
  std::vector<float> log_counts_;        // [n_rows]
  std::vector<float> scores_, chances_;  // [n_rows]: by the weights that were tried last, and each list's softmax
};

}  // namespace reform
