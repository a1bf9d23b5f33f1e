#include "runtime/gather/repeats.h"

#include <algorithm>

namespace reform {

Repeats::Repeats(const TokenTable& table, std::span<const int32_t> sentence)
    : table_(table), sentence_(runs_in(sentence)) {}

std::unordered_set<uint64_t> Repeats::runs_in(std::span<const int32_t> ids) const {
  std::vector<WordHash> words;
  for (const int32_t id : ids) {
    if (!table_.is_blank(id)) words.push_back(table_.word(id));
  }
  std::unordered_set<uint64_t> runs;
  for (size_t end = kRunTokens; end <= words.size(); ++end) {
    WordHash run;
    for (size_t t = end - kRunTokens; t < end; ++t) run = run.then(words[t]);
    runs.insert(run.value());
  }
  return runs;
}

bool Repeats::stand_in(std::span<const int32_t> ids) const {
  if (sentence_.empty()) return false;
  const auto there = runs_in(ids);
  const auto n = std::count_if(sentence_.begin(), sentence_.end(), [&](uint64_t run) { return there.contains(run); });
  return double(n) >= kLeastShare * double(sentence_.size());
}

}  // namespace reform
