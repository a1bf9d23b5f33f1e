#include "runtime/gather/words.h"

#include <algorithm>

namespace reform {

std::vector<WordHash> words_of(const TokenTable& table, std::span<const int32_t> ids) {
  std::vector<WordHash> words(ids.size());
  for (size_t begin = 0; begin < ids.size();) {
    WordHash word = table.word(ids[begin]);
    size_t end = begin + 1;
    for (; end < ids.size() && table.joins_after(ids[end - 1]) && table.joins_before(ids[end]); ++end)
      word = word.then(table.word(ids[end]));
    std::fill(words.begin() + ptrdiff_t(begin), words.begin() + ptrdiff_t(end), word);
    begin = end;
  }
  return words;
}

QuestionWords::QuestionWords(const TokenTable& table, std::span<const int32_t> question_ids)
    : table_(table), shares_(question_ids.size()) {
  const std::vector<WordHash> words = words_of(table, question_ids);
  for (size_t t = 0; t < words.size(); ++t) {
    by_word_[words[t].value()].push_back(int32_t(t));
    by_token_[table.word(question_ids[t]).value()].push_back(int32_t(t));
  }
}

void QuestionWords::raise(const Places& places, const WordHash& hash, float share) {
  const auto found = places.find(hash.value());
  if (found == places.end()) return;
  for (const int32_t t : found->second) shares_[size_t(t)] = std::max(shares_[size_t(t)], share);
}

std::span<const float> QuestionWords::shares_in(std::span<const int32_t> ids) {
  std::fill(shares_.begin(), shares_.end(), 0.0f);
  for (const int32_t id : ids) raise(by_token_, table_.word(id), kPartShare);
  for (const WordHash& word : words_of(table_, ids)) raise(by_word_, word, 1.0f);
  return shares_;
}

}  // namespace reform
