// Finds passages that only say a sentence again: in chats and logs the same words stand many times.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

#include "runtime/gather/token_table.h"

namespace reform {

class Repeats {
 public:
  static constexpr size_t kRunTokens = 3;
  static constexpr double kLeastShare = 0.75;  // of the sentence's runs of so many tokens

  Repeats(const TokenTable& table, std::span<const int32_t> sentence);

  // Nearly all of the sentence stands there, case and spaces not counted.
  bool stand_in(std::span<const int32_t> ids) const;

 private:
  std::unordered_set<uint64_t> runs_in(std::span<const int32_t> ids) const;

  const TokenTable& table_;
  std::unordered_set<uint64_t> sentence_;
};

}  // namespace reform
