// Finds the heads whose states point from a question to its answer's tokens, by their Mean Normalized Rank on synthetic
// text (REFORM, arXiv 2506.01215 section 3.2 and appendix). A basic form: two kinds of questions, and heads below 70 %
// of the depth.
#pragma once

#include <reform/cancel.h>
#include <reform/ingest.h>
#include <reform/status.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/memory.h"
#include "kernels/device.h"
#include "runtime/compress/heads.h"
#include "runtime/model/kv_cache.h"
#include "runtime/model/model.h"
#include "runtime/model/transformer.h"
#include "runtime/tokenizer/tokenizer.h"

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

// The search itself. One thread at a time.
class HeadSearch {
 public:
  static int64_t last_layer(const ModelShape& shape);  // the topmost that is searched
  static constexpr int64_t kTextTokens = 1200;         // a token needs 512 to 1,024 tokens before it
  static constexpr int64_t kCallTokens = kTextTokens + kMaxQuestionTokens;

  // All memory is allocated here. The site's ops must allow calls of kCallTokens over as many slots.
  static Result<std::unique_ptr<HeadSearch>> create(const Model& model, const Tokenizer& tokenizer, const Site& site,
                                                    KvView::Type kv_type);
  // The two heads best at patterns and the two best at multi-hop, all different. kCancelled.
  Result<Heads> run(int64_t n_params, const IngestProgressCallback& progress, const CancelToken* cancel);

 private:
  struct HeadScore {
    HeadRef head;
    double rank[2] = {0, 0};  // summed mean normalised rank per SampleKind
  };
  HeadSearch(const Model& model, const Tokenizer& tokenizer, Device& device, MemoryAccount& host)
      : model_(model), tokenizer_(tokenizer), device_(device), host_(host) {}
  Status run_sample(SampleKind kind, const SearchSample& sample, const ForwardHooks& hooks);
  Status rank_layer(SampleKind kind, const SearchSample& sample, int64_t layer, const LayerStates& states);
  Result<MatView<const float>> seen(const MatView<const float>& states);
  Heads choose();

  const Model& model_;
  const Tokenizer& tokenizer_;
  Device& device_;
  MemoryAccount& host_;
  std::unique_ptr<Transformer> transformer_;
  KvCache cache_;
  Buffer<std::byte> staging_;  // for a layer's states, if the host does not see the device's memory
  std::vector<HeadScore> scores_;
  std::vector<float> unit_, row_scores_;
};

}  // namespace reform
