// A read-mostly hash map from 64-bit keys, flat and open-addressed. It holds the tables of merges and of character
// pairs, where std::unordered_map would cost one more cache miss per look-up and four times the memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace reform {

// The key ~0 is reserved.
template <class Value>
class FlatMap {
 public:
  // Has room for `n_keys` without growing; more keys make it grow.
  explicit FlatMap(size_t n_keys = 0) { rehash(n_keys); }

  // Keeps the first value of a key.
  void insert(uint64_t key, const Value& value) {
    if (2 * (n_keys_ + 1) > slots_.size()) rehash(2 * (n_keys_ + 1));
    Slot& slot = slots_[find_slot(key)];
    if (slot.key == key) return;
    slot = {key, value};
    ++n_keys_;
  }
  const Value* find(uint64_t key) const {
    const Slot& slot = slots_[find_slot(key)];
    return slot.key == key ? &slot.value : nullptr;
  }
  size_t size() const { return n_keys_; }
  int64_t bytes() const { return int64_t(slots_.capacity() * sizeof(Slot)); }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t(0);
  struct Slot {
    uint64_t key = kEmpty;
    Value value = {};
  };

  size_t find_slot(uint64_t key) const {
    uint64_t hash = (key ^ key >> 32) * 0x9e3779b97f4a7c15u;  // Fibonacci hashing; the high bits are the good ones
    size_t i = size_t(hash >> 20) & (slots_.size() - 1);
    while (slots_[i].key != key && slots_[i].key != kEmpty) i = (i + 1) & (slots_.size() - 1);
    return i;
  }
  void rehash(size_t n_keys) {
    size_t capacity = 16;
    while (capacity < 2 * n_keys) capacity *= 2;
    std::vector<Slot> old(capacity);
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.key != kEmpty) slots_[find_slot(slot.key)] = slot;
  }

  std::vector<Slot> slots_;
  size_t n_keys_ = 0;
};

}  // namespace reform
