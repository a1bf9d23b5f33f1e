// How rare the words of a question are in the contexts that are asked: the weights of late interaction.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "runtime/gather/token_table.h"

namespace reform {

// Counts in how many blocks of 64 tokens each word of the question stands. Blocks are counted from a context's first
// token, so the counts do not depend on chunks. Counting reads the ids of the whole text, about 1 % of the bytes that
// scoring its rows reads, so nothing of it is stored.
class Rarity {
 public:
  static constexpr int64_t kBlockTokens = 64;

  Rarity(const TokenTable& table, std::span<const int32_t> question_ids);

  void add(std::span<const int32_t> ids);  // of one context, in order
  void end_context();

  // ln(1 + (B - n + 0.5) / (n + 0.5)) for a word of the question that stands in n of all B blocks.
  double of(int32_t id) const;

 private:
  struct Count {
    int64_t n_blocks = 0, last_block = -1;
  };
  const TokenTable& table_;
  std::vector<bool> asked_;  // by token id: it is a word of the question
  std::unordered_map<int32_t, Count> counts_;
  int64_t n_tokens_ = 0;       // of this context so far
  int64_t blocks_before_ = 0;  // of earlier contexts
};

}  // namespace reform
