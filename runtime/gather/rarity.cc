#include "runtime/gather/rarity.h"

#include <algorithm>
#include <cmath>

namespace reform {

Rarity::Rarity(const TokenTable& table, std::span<const int32_t> question_ids)
    : words_(table, question_ids), n_with_(question_ids.size()) {}

void Rarity::add(std::span<const int32_t> ids) {
  if (!open_.empty()) {
    const size_t n = std::min(ids.size(), kBlockTokens - open_.size());
    open_.insert(open_.end(), ids.begin(), ids.begin() + ptrdiff_t(n));
    ids = ids.subspan(n);
    if (open_.size() < kBlockTokens) return;
    count_block(open_), open_.clear();
  }
  for (; ids.size() >= kBlockTokens; ids = ids.subspan(kBlockTokens)) count_block(ids.first(kBlockTokens));
  open_.insert(open_.end(), ids.begin(), ids.end());
}

void Rarity::end_context() {
  if (!open_.empty()) count_block(open_);
  open_.clear();
}

void Rarity::count_block(std::span<const int32_t> ids) {
  const std::span<const float> shares = words_.shares_in(ids);
  for (size_t t = 0; t < shares.size(); ++t) n_with_[t] += shares[t] == 1 ? 1 : 0;
  ++n_blocks_;
}

double Rarity::of(size_t question_token) const {
  const auto n = double(n_with_[question_token]);
  return std::log(1 + (double(n_blocks_) - n + 0.5) / (n + 0.5));
}

}  // namespace reform
