// Finds the heads whose states point from a question to its answer's tokens: Mean Normalized Rank on synthetic text
// (REFORM, arXiv 2506.01215 section 3.2 and appendix). Basic: two kinds of questions, heads below 70 % of the depth.
#pragma once

#include <reform/cancel.h>
#include <reform/ingest.h>
#include <reform/status.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/engine_impl.h"

namespace reform {

// A synthetic text with a question; gold tokens are those the answer needs.
struct SearchSample {
  std::vector<int32_t> ids;  // text, then question
  int64_t n_text = 0;        // the question is [n_text, ids.size())
  std::vector<bool> gold;    // [n_text]
};

inline constexpr int64_t kMaxQuestionTokens = 64;

enum class SampleKind : uint8_t { kPattern, kMultiHop };

Result<SearchSample> make_search_sample(const Tokenizer& tokenizer, SampleKind kind, int64_t n_text_tokens,
                                        uint64_t seed);

// Mean over the gold tokens of (number of text tokens scored higher) / n_text, in [0, 1]; 0.5 is chance. scores
// [n_text].
double mean_normalised_rank(std::span<const float> scores, const std::vector<bool>& gold);

// Two heads best at patterns and two best at multi-hop, all different.
Result<Heads> search_heads(Engine::Impl& engine, const IngestProgressCallback& progress, const CancelToken* cancel);

}  // namespace reform
