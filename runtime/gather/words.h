// Words, where tokens are only parts of them: "Zoltan" may be "Z", "olt", "an", and 1874 four digits.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "runtime/gather/token_table.h"

namespace reform {

// Which words of a question stand in a text. A word is a run of tokens with nothing but letters and digits between
// them; other tokens are words of their own.
class QuestionWords {
 public:
  // Of a token that stands there, too, but in another word, as "boot" in "boot|ing". 0 to 0.6 found as much, on
  // questions in eleven languages.
  static constexpr float kPartShare = 0.3f;

  QuestionWords(const TokenTable& table, std::span<const int32_t> question_ids);

  int64_t n_tokens() const { return int64_t(shares_.size()); }
  // [n_tokens]: 1 for a token of the question whose word is among those of `ids`, else kPartShare for one that is among
  // their tokens, else 0. Valid until the next call.
  std::span<const float> shares_in(std::span<const int32_t> ids);

 private:
  // Where words stand in the question.
  class Places {
   public:
    void add(const WordHash& word, int32_t place);
    std::span<const int32_t> of(const WordHash& word) const;

   private:
    static size_t bit(uint64_t hash) { return size_t(hash % kBits); }
    static constexpr size_t kBits = 4096;
    std::bitset<kBits> taken_;  // for most words of a text it says that they are none of the question's
    std::unordered_map<uint64_t, std::vector<int32_t>> by_hash_;
  };
  void raise(std::span<const int32_t> places, float share);

  const TokenTable& table_;
  Places by_word_, by_token_;
  std::vector<float> shares_;
};

}  // namespace reform
