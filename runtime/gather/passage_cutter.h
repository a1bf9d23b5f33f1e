// Cuts a text into passages that a reader would call whole: at line ends, else at sentence ends, else at a length.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/gather/token_table.h"

namespace reform {

// Takes a context's token ids in order, in pieces of any size. Where the cuts fall does not depend on the pieces.
class PassageCutter {
 public:
  // On natural questions, passages of 24 to 64 tokens found as much within 512 and 1,024 tokens as these, and less
  // within 2,048 and 4,096. Single lines found less at every budget.
  static constexpr int64_t kMinTokens = 48;  // a shorter line is joined with the next
  static constexpr int64_t kMaxTokens = 96;  // a longer line is cut

  explicit PassageCutter(const TokenTable& table) : table_(table) {}

  // Where passages end, as token numbers from the context's first token: those ends that these ids settle. They may lie
  // before this piece.
  std::vector<int64_t> add(std::span<const int32_t> ids);
  int64_t n_tokens() const { return n_tokens_; }

 private:
  // Looks at the place between the last token and `next`. Returns whether a line ends there.
  bool look_at(int32_t next);

  const TokenTable& table_;
  int64_t n_tokens_ = 0, begin_ = 0;
  int64_t sentence_end_ = 0, line_end_ = 0;  // the last ones seen; a line may end within a sentence
  bool newline_ = false, blank_line_ = false, stop_ = false, wide_stop_ = false;  // of the last token
};

}  // namespace reform
