#include "runtime/heads/feature_table.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "base/try.h"
#include "runtime/gather/neighbours.h"

namespace reform {
namespace {

constexpr uint64_t kRowSeed = 1;
constexpr int64_t kOtherRows = 200;  // of a list: passages of other texts
constexpr int64_t kOwnRows = 40;     // of a list: passages of the text that answers, which are harder to tell apart
constexpr double kLeastSigma = 1e-4;

}  // namespace

std::vector<float> with_neighbours(std::span<const float> scores) {
  std::vector<float> raised(scores.begin(), scores.end());
  const size_t n = scores.size();
  for (size_t p = 0; p < n; ++p) {
    float better = p > 0 ? scores[p - 1] : n > 1 ? scores[p + 1] : scores[p];
    if (p > 0 && p + 1 < n) better = std::max(better, scores[p + 1]);
    raised[p] += float(Neighbours::kShare) * better;
  }
  return raised;
}

void FoundCount::add(const SampleQuestion& question, std::span<const float> scores) {
  constexpr int64_t kMostTokens = 8192;  // what lies further down is not found either way
  const std::vector<float> raised = with_neighbours(scores);
  float worst = raised[size_t(question.gold.front())];
  for (const int32_t p : question.gold) worst = std::min(worst, raised[size_t(p)]);
  int64_t n_tokens = 0;
  for (size_t p = 0; p < raised.size(); ++p) n_tokens += raised[p] >= worst ? text_.passage_tokens(int64_t(p)) : 0;
  for (size_t b = 0; b < kRecallBudgets.size(); ++b) n_found_[b] += n_tokens <= kRecallBudgets[b] ? 1 : 0;
  log_tokens_ += std::log2(double(std::min(n_tokens, kMostTokens)));
  ++n_;
}

Recall FoundCount::recall() const {
  Recall recall = {};
  for (size_t b = 0; b < recall.size(); ++b) recall[b] = double(n_found_[b]) / double(std::max<int64_t>(n_, 1));
  return recall;
}

FeatureTable::FeatureTable(FeatureFile& file, const SearchText& text, int64_t n_heads)
    : file_(file),
      text_(text),
      n_heads_(n_heads),
      raw_(size_t(text.n_questions() * text.n_passages())),
      features_(raw_.size()) {}

int64_t FeatureTable::most_rows(const SearchText& text) {
  int64_t n = 0;
  for (const SampleQuestion& q : text.questions) n += int64_t(q.gold.size()) + kOtherRows + kOwnRows;
  return n;
}

int64_t FeatureTable::bytes(const SearchText& text, int64_t n_heads) {
  const int64_t n_pairs = text.n_questions() * text.n_passages();
  return most_rows(text) * (n_heads * int64_t(sizeof(int16_t)) + 5 * int64_t(sizeof(float))) +
         n_pairs * int64_t(2 * sizeof(float) + sizeof(Feature));
}

Result<std::unique_ptr<FeatureTable>> FeatureTable::create(FeatureFile& file, const SearchText& text,
                                                           const TokenTable& table, int64_t n_heads,
                                                           MemoryAccount& account, const CancelToken* cancel) {
  std::unique_ptr<FeatureTable> t(new FeatureTable(file, text, n_heads));
  t->draw_rows();
  TRY_ASSIGN(t->sample_, Buffer<int16_t>::create(account, MemoryCategory::kIndex, t->lists_.n_rows() * n_heads));
  t->take_lexical(table);
  for (int64_t head = 0; head < n_heads; ++head) {
    if (cancel != nullptr && cancel->cancelled()) return Status{Code::kCancelled, "stopped"};
    TRY(t->take_head(head));
  }
  return t;
}

// Neighbours of what answers a question are no good examples of what does not: gather raises them with it.
void FeatureTable::draw_rows() {
  std::mt19937_64 rng(kRowSeed);
  for (const SampleQuestion& question : text_.questions) {
    std::vector<bool> taken(size_t(text_.n_passages()), false);
    for (const int32_t p : question.gold) {
      for (int64_t near = std::max(p - 1, 0); near <= p + 1 && near < text_.n_passages(); ++near)
        taken[size_t(near)] = true;
      row_passages_.push_back(p);
    }
    const auto n_gold = question.gold.size(), begin = lists_.gold.size();
    const auto take = [&](int64_t p) {
      if (taken[size_t(p)]) return;
      taken[size_t(p)] = true;
      row_passages_.push_back(int32_t(p));
    };
    const PassageRange& own = text_.samples[size_t(question.sample)];
    for (int64_t p = own.begin; p < std::min(own.end, own.begin + kOwnRows); ++p) take(p);
    lists_.counts.resize(row_passages_.size(), 1.0f);
    const auto n_before = int64_t(row_passages_.size());
    for (int64_t i = 0; i < kOtherRows; ++i) take(int64_t(rng() % uint64_t(text_.n_passages())));
    const int64_t n_others = int64_t(row_passages_.size()) - n_before;
    const double others = double(text_.n_passages() - own.size()) / double(std::max<int64_t>(n_others, 1));
    lists_.counts.resize(row_passages_.size(), float(std::max(others, 1.0)));
    lists_.gold.resize(row_passages_.size(), 0.0f);
    std::fill_n(lists_.gold.begin() + ptrdiff_t(begin), n_gold, 1 / float(n_gold));
    lists_.ends.push_back(int64_t(row_passages_.size()));
  }
}

ScoreMap FeatureTable::scale_of(std::span<const float> features) const {
  const auto n = size_t(text_.n_passages());
  double sum = 0, sigma = 0;
  for (size_t q = 0; q < size_t(text_.n_questions()); ++q) {
    double own = 0, squares = 0;
    for (const float x : features.subspan(q * n, n)) own += double(x), squares += double(x) * double(x);
    sum += own;
    sigma += std::sqrt(std::max(squares / double(n) - own / double(n) * (own / double(n)), 0.0));
  }
  return {sum / double(features.size()), std::max(sigma / double(text_.n_questions()), kLeastSigma), 0};
}

Recall FeatureTable::recall_of(std::span<const float> features) const {
  FoundCount count(text_);
  const auto n = size_t(text_.n_passages());
  for (size_t q = 0; q < text_.questions.size(); ++q) count.add(text_.questions[q], features.subspan(q * n, n));
  return count.recall();
}

void FeatureTable::take_lexical(const TokenTable& table) {
  for (const SampleQuestion& question : text_.questions) {
    const std::vector<float> shares = word_shares(text_, table, question);
    lexical_.insert(lexical_.end(), shares.begin(), shares.end());
  }
  lexical_scale_ = scale_of(lexical_);
  lexical_alone_ = recall_of(lexical_);
  for (float& x : lexical_) x = float((double(x) - lexical_scale_.mu) / lexical_scale_.sigma);
  const auto n = size_t(text_.n_passages());
  for (size_t q = 0, r = 0; q < text_.questions.size(); ++q) {
    for (; int64_t(r) < lists_.ends[q]; ++r) {
      lexical_sample_.push_back(lexical_[q * n + size_t(row_passages_[r])]);
      length_sample_.push_back(float(std::log(double(text_.passage_tokens(row_passages_[r])))));
    }
  }
}

Status FeatureTable::take_head(int64_t head) {
  TRY(file_.read_head(head, raw_));
  std::transform(raw_.begin(), raw_.end(), features_.begin(),
                 [](Feature x) { return float(x) / float(kFeatureSteps); });
  const ScoreMap scale = scale_of(features_);
  scales_.push_back(scale);
  alone_.push_back(recall_of(features_));
  const auto n = size_t(text_.n_passages());
  for (size_t q = 0, r = 0; q < text_.questions.size(); ++q) {
    for (; int64_t(r) < lists_.ends[q]; ++r) {
      const double z = (double(features_[q * n + size_t(row_passages_[r])]) - scale.mu) / scale.sigma;
      sample_.span()[r * size_t(n_heads_) + size_t(head)] =
          int16_t(std::lround(std::clamp(z * kSampleSteps, -32767.0, 32767.0)));
    }
  }
  return {};
}

MatView<const int16_t> FeatureTable::sample(int64_t n_heads) const {
  return {sample_.data(), lists_.n_rows(), n_heads, n_heads_};
}

std::vector<float> FeatureTable::sample_of(int64_t head) const {
  std::vector<float> values;
  for (int64_t r = 0; r < lists_.n_rows(); ++r)
    values.push_back(float(sample_.span()[size_t(r * n_heads_ + head)]) / float(kSampleSteps));
  return values;
}

Result<std::vector<float>> FeatureTable::column(int64_t head, std::span<const int64_t> asked) {
  TRY(file_.read_head(head, raw_));
  const ScoreMap& scale = scales_[size_t(head)];
  const auto factor = float(1 / scale.sigma / kFeatureSteps), minus = float(scale.mu / scale.sigma);
  const auto n = size_t(text_.n_passages());
  std::vector<float> column;
  column.reserve(asked.size() * n);
  for (const int64_t q : asked) {
    for (size_t p = 0; p < n; ++p) column.push_back(factor * float(raw_[size_t(q) * n + p]) - minus);
  }
  return column;
}

std::vector<float> FeatureTable::lexical_column(std::span<const int64_t> asked) const {
  const auto n = size_t(text_.n_passages());
  std::vector<float> column;
  for (const int64_t q : asked) {
    const auto own = std::span(lexical_).subspan(size_t(q) * n, n);
    column.insert(column.end(), own.begin(), own.end());
  }
  return column;
}

}  // namespace reform
