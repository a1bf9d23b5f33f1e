#include "runtime/gather/rarity.h"

#include <cmath>

namespace reform {

Rarity::Rarity(const TokenTable& table, std::span<const int32_t> question_ids)
    : table_(table), asked_(size_t(table.n_vocab()), false) {
  for (const int32_t id : question_ids) counts_.try_emplace(table.word(id));
  for (int64_t id = 0; id < table.n_vocab(); ++id) asked_[size_t(id)] = counts_.contains(table.word(int32_t(id)));
}

void Rarity::add(std::span<const int32_t> ids) {
  for (const int32_t id : ids) {
    const int64_t block = blocks_before_ + n_tokens_++ / kBlockTokens;
    if (!asked_[size_t(id)]) continue;
    Count& count = counts_.at(table_.word(id));
    if (count.last_block == block) continue;
    count.last_block = block;
    ++count.n_blocks;
  }
}

void Rarity::end_context() {
  blocks_before_ += (n_tokens_ + kBlockTokens - 1) / kBlockTokens;
  n_tokens_ = 0;
}

double Rarity::of(int32_t id) const {
  const auto n = double(counts_.at(table_.word(id)).n_blocks);
  return std::log(1 + (double(blocks_before_) - n + 0.5) / (n + 0.5));
}

}  // namespace reform
