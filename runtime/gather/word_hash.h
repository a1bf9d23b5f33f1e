// The hash of a word, which the hashes of its parts give: a word has the same one however a tokenizer cuts it.
#pragma once

#include <cstdint>
#include <string_view>

namespace reform {

// A polynomial in the bytes, modulo the prime 2^61 - 1 (Karp and Rabin). Two words meet by chance once in 10^16 pairs;
// somebody who makes them meet spoils the words of his own text.
class WordHash {
 public:
  WordHash() = default;  // of no bytes
  explicit WordHash(std::string_view bytes) {
    for (const char byte : bytes) {
      value_ = (times(value_, kBase) + static_cast<unsigned char>(byte) + 1) % kPrime;
      shift_ = times(shift_, kBase);
    }
  }

  // Of this word's bytes, then those of `next`.
  WordHash then(const WordHash& next) const {
    WordHash both;
    both.value_ = (times(value_, next.shift_) + next.value_) % kPrime;
    both.shift_ = times(shift_, next.shift_);
    return both;
  }
  uint64_t value() const { return value_; }
  bool operator==(const WordHash& other) const { return value_ == other.value_; }

 private:
  static constexpr uint64_t kPrime = (uint64_t(1) << 61) - 1;
  static constexpr uint64_t kBase = 0x0b5297a4d3f1c96f;  // any number that is not small
  static uint64_t times(uint64_t a, uint64_t b) { return uint64_t(static_cast<unsigned __int128>(a) * b % kPrime); }

  uint64_t value_ = 0;
  uint64_t shift_ = 1;  // kBase to the power of the length
};

}  // namespace reform
