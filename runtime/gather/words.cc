#include "runtime/gather/words.h"

#include <algorithm>

namespace reform {
namespace {

// fn(word, begin, end) for each word of `ids`, the tokens [begin, end).
template <class Fn>
void for_each_word(const TokenTable& table, std::span<const int32_t> ids, const Fn& fn) {
  for (size_t begin = 0; begin < ids.size();) {
    WordHash word = table.word(ids[begin]);
    size_t end = begin + 1;
    for (; end < ids.size() && table.joins_after(ids[end - 1]) && table.joins_before(ids[end]); ++end)
      word = word.then(table.word(ids[end]));
    fn(word, begin, end);
    begin = end;
  }
}

}  // namespace

void QuestionWords::Places::add(const WordHash& word, int32_t place) {
  taken_.set(bit(word.value()));
  by_hash_[word.value()].push_back(place);
}

std::span<const int32_t> QuestionWords::Places::of(const WordHash& word) const {
  if (!taken_[bit(word.value())]) return {};
  const auto found = by_hash_.find(word.value());
  return found == by_hash_.end() ? std::span<const int32_t>() : found->second;
}

QuestionWords::QuestionWords(const TokenTable& table, std::span<const int32_t> question_ids)
    : table_(table), shares_(question_ids.size()) {
  for_each_word(table, question_ids, [&](const WordHash& word, size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      by_word_.add(word, int32_t(t));
      by_token_.add(table.word(question_ids[t]), int32_t(t));
    }
  });
}

void QuestionWords::raise(std::span<const int32_t> places, float share) {
  for (const int32_t t : places) shares_[size_t(t)] = std::max(shares_[size_t(t)], share);
}

std::span<const float> QuestionWords::shares_in(std::span<const int32_t> ids) {
  std::fill(shares_.begin(), shares_.end(), 0.0f);
  for (const int32_t id : ids) raise(by_token_.of(table_.word(id)), kPartShare);
  for_each_word(table_, ids, [&](const WordHash& word, size_t, size_t) { raise(by_word_.of(word), 1.0f); });
  return shares_;
}

}  // namespace reform
