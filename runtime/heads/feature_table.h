// What heads are chosen by: how well each head's rows separate the passages that answer a question from others.
#pragma once

#include <reform/cancel.h>
#include <reform/heads.h>
#include <reform/status.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/memory.h"
#include "base/views.h"
#include "runtime/compress/head_set.h"
#include "runtime/heads/feature_file.h"
#include "runtime/heads/list_fit.h"
#include "runtime/heads/search_text.h"

namespace reform {

inline constexpr auto kRecallBudgets = kHeadRecallTokens;

// The share of questions whose evidence lies, whole, in the best passages of so many tokens.
using Recall = HeadRecall;

// How well scores find what answers questions.
class FoundCount {
 public:
  explicit FoundCount(const SearchText& text) : text_(text) {}

  // scores [n_passages] of one question, without neighbours' shares, which are added here.
  void add(const SampleQuestion& question, std::span<const float> scores);
  Recall recall() const;
  // The mean over questions of log2 of the tokens that the best passages have until all evidence is among them. Finer
  // than recall, and so better for comparing.
  double log_tokens() const { return log_tokens_ / double(std::max<int64_t>(n_, 1)); }

 private:
  const SearchText& text_;
  std::array<int64_t, kRecallBudgets.size()> n_found_ = {};
  double log_tokens_ = 0;
  int64_t n_ = 0;
};

// scores [n_passages], of one text, raised by their neighbours' shares as gather does.
std::vector<float> with_neighbours(std::span<const float> scores);

// A head's features are standardised: mu and sigma are the mean over all passages and questions, and the mean over
// questions of the spread over passages. A score is the sum over the chosen heads of weight * standardised feature,
// plus the same of the lexical share, plus a weight times ln(tokens).
class FeatureTable {
 public:
  static int64_t most_rows(const SearchText& text);               // of all lists
  static int64_t bytes(const SearchText& text, int64_t n_heads);  // the memory it takes
  // Reads the whole file, which must be complete.
  static Result<std::unique_ptr<FeatureTable>> create(FeatureFile& file, const SearchText& text,
                                                      const TokenTable& table, int64_t n_heads, MemoryAccount& account,
                                                      const CancelToken* cancel);

  const SearchText& text() const { return text_; }
  const ScoreMap& scale(int64_t head) const { return scales_[size_t(head)]; }  // its weight means nothing
  const ScoreMap& lexical_scale() const { return lexical_scale_; }
  const Recall& alone(int64_t head) const { return alone_[size_t(head)]; }  // of the head's own feature
  const Recall& lexical_alone() const { return lexical_alone_; }

  // A list for each question: the passages that answer it and a sample of others, the same each time.
  const Lists& lists() const { return lists_; }
  // Standardised features of the lists' rows, of the first n_heads, in steps of 1 / kSampleSteps.
  static constexpr double kSampleSteps = 1024;
  MatView<const int16_t> sample(int64_t n_heads) const;
  std::vector<float> sample_of(int64_t head) const;
  std::span<const float> lexical_sample() const { return lexical_sample_; }
  std::span<const float> length_sample() const { return length_sample_; }

  // Standardised features of all passages, for the questions in `asked`, one question after the other.
  Result<std::vector<float>> column(int64_t head, std::span<const int64_t> asked);
  std::vector<float> lexical_column(std::span<const int64_t> asked) const;

 private:
  FeatureTable(FeatureFile& file, const SearchText& text, int64_t n_heads);
  void draw_rows();
  void take_lexical(const TokenTable& table);
  Status take_head(int64_t head);
  ScoreMap scale_of(std::span<const float> features) const;
  Recall recall_of(std::span<const float> features) const;

  FeatureFile& file_;
  const SearchText& text_;
  const int64_t n_heads_;
  std::vector<ScoreMap> scales_;
  ScoreMap lexical_scale_;
  std::vector<Recall> alone_;
  Recall lexical_alone_ = {};
  std::vector<float> lexical_;  // [n_questions, n_passages], standardised
  Lists lists_;
  std::vector<int32_t> row_passages_;  // [n_rows]
  Buffer<int16_t> sample_;             // [n_rows, n_heads]
  std::vector<float> lexical_sample_, length_sample_;
  std::vector<Feature> raw_;     // of one head
  std::vector<float> features_;  // the same, as numbers
};

}  // namespace reform
