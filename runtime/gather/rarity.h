// How rare the words of a question are in the contexts that are asked: the weights of late interaction.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/gather/words.h"

namespace reform {

// Counts in how many blocks of 64 tokens each word of the question stands. Blocks are counted from a context's first
// token, so the counts do not depend on chunks; a word across two blocks stands in neither. Counting reads the ids of
// the whole text, about 1 % of the bytes that scoring its rows reads, so nothing of it is stored.
class Rarity {
 public:
  static constexpr size_t kBlockTokens = 64;

  Rarity(const TokenTable& table, std::span<const int32_t> question_ids);

  void add(std::span<const int32_t> ids);  // of one context, in order
  void end_context();

  // ln(1 + (B - n + 0.5) / (n + 0.5)) for a token of the question whose word stands in n of all B blocks. Each token of
  // a word has the word's: the parts of a rare name are common.
  double of(size_t question_token) const;

 private:
  void count_block(std::span<const int32_t> ids);

  QuestionWords words_;
  std::vector<int64_t> n_with_;  // [n_question]: blocks
  std::vector<int32_t> open_;    // of the block that is not full yet
  int64_t n_blocks_ = 0;
};

}  // namespace reform
