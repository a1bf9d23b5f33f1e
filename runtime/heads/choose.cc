#include "runtime/heads/choose.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/try.h"

namespace reform {
namespace {

constexpr int64_t kFolds = 5;
constexpr double kL2 = 1e-2;
// The smallest set is taken whose mean log2 of tokens is within this of the least: each head costs 68 bytes per token
// of an index, and the figures of a few hundred questions are no finer.
constexpr double kTolerance = 0.02;
// The words' weight is raised by this after the fit, which gives them too little: on the samples of Qwen2.5-Coder-0.5B
// 1.5 finds 1.5 points more within 1,024 tokens, and 2 loses questions that share no words with what answers them.
constexpr double kWordsFactor = 1.5;

int64_t fold_of(const SampleQuestion& question) { return question.sample % kFolds; }

std::vector<int64_t> questions_of(const SearchText& text, int64_t fold) {
  std::vector<int64_t> questions;
  for (int64_t q = 0; q < text.n_questions(); ++q) {
    if (fold_of(text.questions[size_t(q)]) == fold) questions.push_back(q);
  }
  return questions;
}

// To five digits: a heads file is read by people, too, and more digits mean nothing.
double rounded(double x) {
  if (x == 0) return 0;
  const double step = std::pow(10.0, std::floor(std::log10(std::abs(x))) - 4);
  return step < 1 ? std::round(x / step) / std::round(1 / step) : std::round(x / step) * step;
}

size_t fewest_heads(const std::vector<FoundCount>& by_heads) {
  double least = by_heads[1].log_tokens();
  for (size_t k = 1; k < by_heads.size(); ++k) least = std::min(least, by_heads[k].log_tokens());
  size_t k = 1;
  while (by_heads[k].log_tokens() > least + kTolerance) ++k;
  return k;
}

}  // namespace

HeadChooser::HeadChooser(FeatureTable& table, const Heads& heads, ThreadPool& pool, const CancelToken* cancel)
    : table_(table), text_(table.text()), heads_(heads), pool_(pool), cancel_(cancel) {}

int64_t HeadChooser::bytes(const SearchText& text) {
  // Of the heads, the words and the length, and their sum.
  const int64_t columns = (kMostHeads + 3) * text.n_questions() * text.n_passages() * int64_t(sizeof(float));
  return columns + kFolds * ListFit::bytes(FeatureTable::most_rows(text));
}

int64_t HeadChooser::heads_up_to(int64_t last_layer) const {
  return std::count_if(heads_.begin(), heads_.end(), [&](const HeadRef& h) { return h.layer <= last_layer; });
}

// Greedy: the head that lowers the loss most, then all weights anew.
HeadChooser::Growth HeadChooser::grow(int64_t last_layer, std::vector<bool> used, int64_t n_heads) const {
  Growth growth;
  ListFit fit(table_.lists(), std::move(used), kL2);
  fit.add(table_.lexical_sample());
  fit.add(table_.length_sample());
  const MatView<const int16_t> candidates = table_.sample(heads_up_to(last_layer));
  for (;;) {
    if (cancelled()) return growth;
    fit.fit();
    growth.weights.push_back(fit.weights());
    growth.weights.back().front() *= kWordsFactor;
    if (int64_t(growth.heads.size()) == std::min(n_heads, candidates.cols)) return growth;
    std::vector<double> gains = fit.gains(candidates);
    for (const int64_t head : growth.heads) gains[size_t(head)] = -1;
    const int64_t best = std::max_element(gains.begin(), gains.end()) - gains.begin();
    fit.add(table_.sample_of(best));
    growth.heads.push_back(best);
  }
}

Status HeadChooser::score(const Growth& growth, std::span<const int64_t> asked, size_t first_k,
                          const OnScores& on_scores) {
  const auto n = size_t(text_.n_passages());
  std::vector<std::vector<float>> columns = {table_.lexical_column(asked), {}};
  columns[1].reserve(columns[0].size());
  for (size_t i = 0; i < columns[0].size(); ++i)
    columns[1].push_back(float(std::log(double(text_.passage_tokens(int64_t(i % n))))));
  for (const int64_t head : growth.heads) {
    TRY_ASSIGN(std::vector<float> column, table_.column(head, asked));
    columns.push_back(std::move(column));
  }
  std::vector<float> scores(columns[0].size());
  for (size_t k = first_k; k < growth.weights.size(); ++k) {
    std::fill(scores.begin(), scores.end(), 0.0f);
    for (size_t f = 0; f < growth.weights[k].size(); ++f) {
      const auto weight = float(growth.weights[k][f]);
      for (size_t i = 0; i < scores.size(); ++i) scores[i] += weight * columns[f][i];
    }
    on_scores(k, scores);
  }
  return {};
}

Result<DepthResult> HeadChooser::judge(int64_t last_layer) {
  std::vector<Growth> growths(kFolds);
  pool_.parallel_for(kFolds, [&](int64_t fold, int) {
    std::vector<bool> used;
    for (const SampleQuestion& q : text_.questions) used.push_back(fold_of(q) != fold);
    growths[size_t(fold)] = grow(last_layer, std::move(used), kMostHeads);
  });
  if (cancelled()) return Status{Code::kCancelled, "stopped"};
  const auto n = size_t(text_.n_passages());
  std::vector<FoundCount> by_heads(growths[0].weights.size(), FoundCount(text_));
  for (int64_t fold = 0; fold < kFolds; ++fold) {
    const std::vector<int64_t> asked = questions_of(text_, fold);
    TRY(score(growths[size_t(fold)], asked, 0, [&](size_t k, const std::vector<float>& scores) {
      for (size_t i = 0; i < asked.size(); ++i)
        by_heads[k].add(text_.questions[size_t(asked[i])], std::span(scores).subspan(i * n, n));
    }));
  }
  const size_t k = fewest_heads(by_heads);
  return DepthResult{last_layer, int64_t(k), by_heads[k].recall()};
}

Result<HeadSet> HeadChooser::choose(const DepthResult& depth) {
  const Growth growth = grow(depth.last_layer, std::vector<bool>(text_.questions.size(), true), depth.n_heads);
  if (cancelled()) return Status{Code::kCancelled, "stopped"};
  const std::vector<double>& weights = growth.weights.back();
  const auto with_weight = [](const ScoreMap& scale, double weight) {
    return ScoreMap{rounded(scale.mu), rounded(scale.sigma), rounded(weight)};
  };
  HeadSet set;
  set.maps.lexical = with_weight(table_.lexical_scale(), weights[0]);
  set.maps.length_weight = rounded(weights[1]);
  for (size_t k = 0; k < growth.heads.size(); ++k) {
    set.heads.push_back(heads_[size_t(growth.heads[k])]);
    set.maps.heads.push_back(with_weight(table_.scale(growth.heads[k]), weights[k + 2]));
  }
  std::vector<int64_t> all(text_.questions.size());
  std::iota(all.begin(), all.end(), int64_t(0));
  TRY(score(growth, all, growth.heads.size(),
            [&](size_t, const std::vector<float>& scores) { add_confidence(scores, set.maps); }));
  return set;
}

// The best score of a text that answers the question, and of one that does not: the same without the sample that does.
void HeadChooser::add_confidence(std::span<const float> scores, ScoreMaps& maps) const {
  std::vector<double> yes, no;
  const auto n = size_t(text_.n_passages());
  for (size_t q = 0; q < text_.questions.size(); ++q) {
    const std::vector<float> raised = with_neighbours(scores.subspan(q * n, n));
    yes.push_back(double(*std::max_element(raised.begin(), raised.end())));
    const PassageRange& own = text_.samples[size_t(text_.questions[q].sample)];
    double best = -1e9;
    for (int64_t p = 0; p < text_.n_passages(); ++p) {
      if (p < own.begin - 1 || p > own.end) best = std::max(best, double(raised[size_t(p)]));
    }
    if (best > -1e9) no.push_back(best);
  }
  const Confidence confidence = fit_confidence(yes, no);
  maps.confidence_offset = rounded(confidence.offset), maps.confidence_slope = rounded(confidence.slope);
}

// Newton's method, with a light penalty on the slope so that it stays finite if the two can be told apart exactly.
Confidence fit_confidence(const std::vector<double>& yes, const std::vector<double>& no) {
  constexpr int kSteps = 50;
  constexpr double kPenalty = 1e-2;
  Confidence c;
  for (int step = 0; step < kSteps; ++step) {
    double g0 = 0, g1 = kPenalty * c.slope, h00 = 1e-9, h01 = 0, h11 = kPenalty;
    const auto add = [&](double x, double is_yes) {
      const double p = 1 / (1 + std::exp(-(c.offset + c.slope * x)));
      g0 += p - is_yes, g1 += (p - is_yes) * x;
      h00 += p * (1 - p), h01 += p * (1 - p) * x, h11 += p * (1 - p) * x * x;
    };
    for (const double x : yes) add(x, 1);
    for (const double x : no) add(x, 0);
    const double det = h00 * h11 - h01 * h01;
    if (!(det > 1e-12)) break;
    const double d0 = (h11 * g0 - h01 * g1) / det, d1 = (h00 * g1 - h01 * g0) / det;
    c.offset -= std::clamp(d0, -5.0, 5.0), c.slope -= std::clamp(d1, -5.0, 5.0);
    if (std::abs(d0) + std::abs(d1) < 1e-9) break;
  }
  // A better score never says less. Without a slope, the share of the answered is all that is known.
  if (c.slope < 0) return {std::log(double(yes.size() + 1) / double(no.size() + 1)), 0};
  return c;
}

}  // namespace reform
