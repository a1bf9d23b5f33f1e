// Gather by late interaction in its plain form, with arrays as long as the text (late_score.h, passage_cutter.h,
// neighbours.h), for comparison; and tokenizers whose tokens a test chooses.
#pragma once

#include <reform/gather.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "runtime/compress/embedding.h"
#include "runtime/compress/head_set.h"
#include "runtime/gather/passage_spans.h"
#include "runtime/tokenizer/tokenizer.h"
#include "tests/runtime/support/plain_passages.h"

namespace reform::test {

// Token i stands for the bytes texts[i].
std::unique_ptr<Tokenizer> sentencepiece_of(const std::vector<std::string>& texts);
std::unique_ptr<Tokenizer> byte_level_of(const std::vector<std::string>& texts);

// What QuestionWords gives (words.h), from the texts of the tokens.
std::vector<float> plain_shares(const std::vector<std::string>& question, const std::vector<std::string>& text);
// For each token of the question ln(1 + (B - n + 0.5) / (n + 0.5)): its word stands in n of all B blocks of 64 tokens.
std::vector<double> plain_rarities(const std::vector<std::vector<std::string>>& contexts,
                                   const std::vector<std::string>& question);

// What make_passage_spans() gives (passage_spans.h).
std::vector<Span> plain_spans(const std::vector<ChosenPassage>& chosen, const std::vector<int64_t>& n_tokens,
                              int64_t edge_tokens);

struct PlainContext {
  std::vector<int32_t> ids;
  std::vector<std::byte> rows;      // [ids.size()], as stored
  std::vector<std::byte> question;  // [question_ids.size()], likewise
  ScoreMaps maps;
};
struct PlainSelection {
  std::vector<Span> spans;
  double confidence = -1;
  double smallest_gap = 1e9;  // between the scores of two passages: nearer ones may change places by rounding
};
PlainSelection plain_gather(const Tokenizer& tokenizer, const EmbeddingLayout& layout,
                            const std::vector<PlainContext>& contexts, const std::vector<int32_t>& question_ids,
                            const GatherOptions& options);

}  // namespace reform::test
