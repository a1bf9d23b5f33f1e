// Cuts a text into passages that a reader would call whole: at line ends, else at sentence ends, else at a length.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/gather/sentences.h"

namespace reform {

// Takes a context's token ids in order, in pieces of any size. Where the cuts fall does not depend on the pieces.
class PassageCutter {
 public:
  // On natural questions, passages of 24 to 64 tokens found as much within 512 and 1,024 tokens as these, and less
  // within 2,048 and 4,096. Single lines found less at every budget.
  static constexpr int64_t kMinTokens = 48;  // a shorter line is joined with the next
  static constexpr int64_t kMaxTokens = 96;  // a longer line is cut

  explicit PassageCutter(const TokenTable& table) : finder_(table) {}

  // Where passages end, as token numbers from the context's first token: those ends that these ids settle. They may lie
  // before this piece.
  std::vector<int64_t> add(std::span<const int32_t> ids);
  int64_t n_tokens() const { return n_tokens_; }

 private:
  SentenceFinder finder_;
  int64_t n_tokens_ = 0, begin_ = 0;
  int64_t sentence_end_ = 0, line_end_ = 0;  // the last ones seen; a line may end within a sentence
};

}  // namespace reform
