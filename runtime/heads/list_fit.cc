#include "runtime/heads/list_fit.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/try.h"

namespace reform {
namespace {

// Solves a x = b for a symmetric positive definite a [n, n], by Cholesky. Both are overwritten.
void solve(std::vector<double>& a, std::vector<double>& b) {
  const size_t n = b.size();
  for (size_t j = 0; j < n; ++j) {
    for (size_t i = j; i < n; ++i) {
      double sum = a[i * n + j];
      for (size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i == j ? std::sqrt(std::max(sum, 1e-12)) : sum / a[j * n + j];
    }
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
}

constexpr int kMaxSteps = 20, kMaxHalvings = 10;
constexpr double kSmallStep = 1e-4;

}  // namespace

ListFit::ListFit(const Lists& lists, std::vector<bool> used, double l2)
    : lists_(lists),
      used_(std::move(used)),
      l2_(l2),
      n_used_(std::count(used_.begin(), used_.end(), true)),
      values_(size_t(lists.n_rows() * kMaxFeatures)),
      scores_(size_t(lists.n_rows())),
      chances_(size_t(lists.n_rows())) {
  CHECK(n_used_ > 0);
  for (const float n : lists.counts) log_counts_.push_back(std::log(n));
  predict({});
}

void ListFit::add(std::span<const float> values) {
  const size_t feature = weights_.size();
  CHECK(int64_t(feature) < kMaxFeatures);
  for (size_t r = 0; r < values.size(); ++r) values_[r * size_t(kMaxFeatures) + feature] = values[r];
  weights_.push_back(0);
}

void ListFit::predict(const std::vector<double>& weights) {
  float w[kMaxFeatures] = {};
  std::copy(weights.begin(), weights.end(), w);
  for (int64_t r = 0; r < lists_.n_rows(); ++r) {
    float score = log_counts_[size_t(r)];
    for (size_t f = 0; f < weights.size(); ++f) score += w[f] * row(r)[f];
    scores_[size_t(r)] = score;
  }
  for (int64_t list = 0; list < lists_.n_lists(); ++list) {
    const auto begin = size_t(lists_.begin(list)), end = size_t(lists_.ends[size_t(list)]);
    const float most = *std::max_element(&scores_[begin], &scores_[end - 1] + 1);
    float sum = 0;
    for (size_t r = begin; r < end; ++r) sum += chances_[r] = std::exp(scores_[r] - most);
    for (size_t r = begin; r < end; ++r) chances_[r] /= sum;
  }
}

double ListFit::list_loss(int64_t list) const {
  const auto begin = size_t(lists_.begin(list)), end = size_t(lists_.ends[size_t(list)]);
  const float most = *std::max_element(&scores_[begin], &scores_[end - 1] + 1);
  double sum = 0, gold = 0;
  for (size_t r = begin; r < end; ++r) {
    sum += std::exp(double(scores_[r] - most));
    gold += double(lists_.gold[r]) * double(scores_[r] - most);
  }
  return std::log(sum) - gold;
}

double ListFit::loss(const std::vector<double>& weights) const {
  double sum = 0, squares = 0;
  for (int64_t list = 0; list < lists_.n_lists(); ++list) sum += used_[size_t(list)] ? list_loss(list) : 0;
  for (const double w : weights) squares += w * w;
  return sum / double(n_used_) + l2_ / 2 * squares;
}

// The Hessian's inverse times the gradient. The Hessian is the mean over lists of the features' covariance under the
// softmax.
std::vector<double> ListFit::newton_step() const {
  const size_t n = weights_.size();
  std::vector<double> gradient(n, 0.0), hessian(n * n, 0.0);
  for (int64_t list = 0; list < lists_.n_lists(); ++list) {
    if (!used_[size_t(list)]) continue;
    float slope[kMaxFeatures] = {}, mean[kMaxFeatures] = {}, both[kMaxFeatures][kMaxFeatures] = {};
    for (int64_t r = lists_.begin(list); r < lists_.ends[size_t(list)]; ++r) {
      const float* const x = row(r);
      const float chance = chances_[size_t(r)], surplus = chance - lists_.gold[size_t(r)];
      for (int64_t i = 0; i < kMaxFeatures; ++i) {
        slope[i] += surplus * x[i];
        mean[i] += chance * x[i];
      }
      for (size_t i = 0; i < n; ++i) {
        const float px = chance * x[i];
        for (int64_t j = 0; j < kMaxFeatures; ++j) both[i][j] += px * x[j];
      }
    }
    for (size_t i = 0; i < n; ++i) {
      gradient[i] += double(slope[i]);
      for (size_t j = 0; j < n; ++j) hessian[i * n + j] += double(both[i][j]) - double(mean[i]) * double(mean[j]);
    }
  }
  for (size_t i = 0; i < n; ++i) {
    gradient[i] = gradient[i] / double(n_used_) + l2_ * weights_[i];
    for (size_t j = 0; j < n; ++j) hessian[i * n + j] /= double(n_used_);
    hessian[i * n + i] += l2_;
  }
  solve(hessian, gradient);
  return gradient;
}

void ListFit::fit() {
  predict(weights_);
  double now = loss(weights_);
  for (int step = 0; step < kMaxSteps; ++step) {
    const std::vector<double> direction = newton_step();
    std::vector<double> next = weights_;
    double length = 1, next_loss = 0;
    for (int halving = 0; halving < kMaxHalvings; ++halving, length /= 2) {
      for (size_t f = 0; f < next.size(); ++f) next[f] = weights_[f] - length * direction[f];
      predict(next);
      next_loss = loss(next);
      if (next_loss <= now) break;
    }
    if (!(next_loss <= now)) break;  // as good as floats can tell
    weights_ = next, now = next_loss;
    double largest = 0;
    for (const double d : direction) largest = std::max(largest, length * std::abs(d));
    if (largest < kSmallStep) return;
  }
  predict(weights_);
}

std::vector<double> ListFit::gains(MatView<const int16_t> candidates) const {
  const auto n = size_t(candidates.cols);
  std::vector<double> slopes(n, 0.0), curvatures(n, 0.0), gains(n);
  std::vector<float> slope(n), mean(n), square(n);  // of one list
  for (int64_t list = 0; list < lists_.n_lists(); ++list) {
    if (!used_[size_t(list)]) continue;
    for (std::vector<float>* sums : {&slope, &mean, &square}) std::fill(sums->begin(), sums->end(), 0.0f);
    for (int64_t r = lists_.begin(list); r < lists_.ends[size_t(list)]; ++r) {
      const float chance = chances_[size_t(r)], surplus = chance - lists_.gold[size_t(r)];
      const int16_t* const row = candidates.row(r);
      for (size_t c = 0; c < n; ++c) {
        const float x = float(row[c]), px = chance * x;
        slope[c] += surplus * x;
        mean[c] += px;
        square[c] += px * x;
      }
    }
    for (size_t c = 0; c < n; ++c) {
      slopes[c] += double(slope[c]);
      curvatures[c] += double(square[c]) - double(mean[c]) * double(mean[c]);
    }
  }
  constexpr double kNoCurvature = 1e-6;
  for (size_t c = 0; c < n; ++c)
    gains[c] = slopes[c] * slopes[c] / (2 * double(n_used_) * std::max(curvatures[c], kNoCurvature));
  return gains;
}

}  // namespace reform
