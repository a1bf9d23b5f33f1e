// The samples as a model sees them: tokens, passages as gather cuts them, and questions with the passages that answer
// them.
#pragma once

#include <reform/status.h>

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/gather/token_table.h"
#include "runtime/tokenizer/tokenizer.h"

namespace reform {

struct PassageRange {
  int64_t begin = 0, end = 0;  // passage numbers

  int64_t size() const { return end - begin; }
};

struct SampleQuestion {
  std::vector<int32_t> ids;
  std::vector<double> weights;  // [ids]: the tokens' rarities, divided by their sum
  std::vector<int32_t> gold;    // passages that hold some of the evidence, ascending
  int64_t sample = 0;           // whose text answers it
};

struct SearchText {
  std::vector<int32_t> ids;
  std::vector<int64_t> passage_ends;   // [n_passages] in tokens
  std::vector<PassageRange> sections;  // of at most the section's tokens each; run one by one, from an empty cache
  std::vector<PassageRange> samples;   // the passages that hold some of a sample
  std::vector<SampleQuestion> questions;

  int64_t n_passages() const { return int64_t(passage_ends.size()); }
  int64_t n_questions() const { return int64_t(questions.size()); }
  int64_t begin_token(int64_t passage) const { return passage == 0 ? 0 : passage_ends[size_t(passage - 1)]; }
  int64_t passage_tokens(int64_t passage) const { return passage_ends[size_t(passage)] - begin_token(passage); }
  std::span<const int32_t> tokens_of(const PassageRange& passages) const {
    const int64_t begin = begin_token(passages.begin);
    return std::span(ids).subspan(size_t(begin), size_t(begin_token(passages.end) - begin));
  }
};

inline constexpr int64_t kLongestSampleQuestion = 64;  // in tokens; what is longer is cut

// Of the first n_samples.
Result<SearchText> make_search_text(const Tokenizer& tokenizer, const TokenTable& table, int64_t n_samples,
                                    int64_t section_tokens);

// shares [n_passages]: the share of the question's weight whose words stand in the passage.
std::vector<float> word_shares(const SearchText& text, const TokenTable& table, const SampleQuestion& question);

}  // namespace reform
