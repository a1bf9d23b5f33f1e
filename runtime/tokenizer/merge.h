// The heart of both tokenizers: merges neighbouring symbols, the best pair first and of equal ones the leftmost, until
// no pair merges. O(n log n) in the length of the word; O(n) for a long one, which is merged in windows.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace reform {

// A token of a word, and how many bytes of the word's text (as the vocabulary spells it) it covers.
struct WordToken {
  int32_t id;  // -1: a symbol that is no token
  uint32_t n_bytes;
};

struct Symbol {
  int32_t id;  // -1: no token
  uint32_t begin, n_bytes;
  int32_t prev, next;  // indices; -1: none
};

struct MergeCandidate {
  uint32_t priority;  // the lowest first
  int32_t left;       // index of the left symbol
  uint32_t n_bytes;   // of both; a different sum means that one of them has merged since
  int32_t id;         // of the product

  // For a heap with the best on top.
  bool operator<(const MergeCandidate& other) const {
    return priority != other.priority ? priority > other.priority : left > other.left;
  }
};

// The tokens of recent words. Direct-mapped: a new word replaces the one with the same slot. Words and tokens stand in
// the entries themselves, so the cache has one size whatever the text is. Longer words are merged each time.
class WordCache {
 public:
  void enable(bool enabled) { enabled_ = enabled; }
  // Whether the word is known; `tokens` are then its tokens.
  bool find(std::string_view word, std::vector<WordToken>& tokens) const;
  void put(std::string_view word, const std::vector<WordToken>& tokens);
  static int64_t most_bytes();

 private:
  static constexpr size_t kMaxBytes = 38, kMaxTokens = 7;  // 96 bytes an entry
  struct Entry {
    std::array<char, kMaxBytes> word;
    uint8_t n_bytes = 0, n_tokens = 0;  // n_bytes 0: empty
    std::array<WordToken, kMaxTokens> tokens;
  };
  static size_t slot(std::string_view word);
  bool enabled_ = true;
  std::vector<Entry> entries_;  // empty until the first put()
};

// A longer word is merged window by window, so that scratch memory is bounded and tokens come before the word ends.
inline constexpr size_t kWordWindowBytes = size_t(1) << 14;
// A window without a settled token is doubled, up to this. A longer word that has none is refused.
inline constexpr size_t kMaxMergedBytes = size_t(1) << 16;

// Reused from word to word. There is one per call or stream, so that a Tokenizer can be shared.
struct MergeScratch {
  // Takes all that the longest merge needs, so that nothing grows and moves later. What is not used is never touched.
  void reserve();
  static int64_t most_bytes();  // with the cache, and with what settled_tokens() copies

  std::vector<Symbol> symbols;
  std::vector<MergeCandidate> heap;
  std::vector<WordToken> tokens;
  std::string text;
  WordCache cache;
  size_t window_bytes = kWordWindowBytes;
};

// Merges scratch.symbols, a linked list. find_merge(left, right, candidate) sets the product's priority and id, or
// returns false. The remaining symbols are in the list from index 0.
template <class FindMerge>
void merge_symbols(MergeScratch& scratch, const FindMerge& find_merge) {
  std::vector<Symbol>& symbols = scratch.symbols;
  std::vector<MergeCandidate>& heap = scratch.heap;
  heap.clear();
  const auto try_pair = [&](int32_t left) {
    if (left < 0 || symbols[size_t(left)].next < 0) return;
    const Symbol &a = symbols[size_t(left)], &b = symbols[size_t(a.next)];
    MergeCandidate candidate{0, left, a.n_bytes + b.n_bytes, -1};
    if (!find_merge(a, b, candidate)) return;
    heap.push_back(candidate);
    std::push_heap(heap.begin(), heap.end());
  };
  for (size_t i = 0; i + 1 < symbols.size(); ++i) try_pair(int32_t(i));
  while (!heap.empty()) {
    const MergeCandidate best = heap.front();
    std::pop_heap(heap.begin(), heap.end());
    heap.pop_back();
    Symbol& left = symbols[size_t(best.left)];
    if (left.n_bytes == 0 || left.next < 0) continue;
    Symbol& right = symbols[size_t(left.next)];
    if (left.n_bytes + right.n_bytes != best.n_bytes) continue;
    left.id = best.id;
    left.n_bytes = best.n_bytes;
    left.next = right.next;
    right.n_bytes = 0;
    if (left.next >= 0) symbols[size_t(left.next)].prev = best.left;
    try_pair(left.prev);
    try_pair(best.left);
  }
}

// With longer tokens than this, a word is merged whole: no real vocabulary has them, and settled_tokens() would take
// long.
inline constexpr size_t kMaxWindowedSymbols = 1024;

// How many tokens of `front` no continuation of the word can change. merge_word(text) leaves text's symbols and tokens
// in the scratch; no token has more than max_symbols symbols, at most kMaxWindowedSymbols.
//
// Merges on two sides of a border that none of them crosses do not affect each other. So the tokens before a border are
// the tokens of the text before it, and a border stays as long as the two tokens at it are the same. Whatever follows
// `front`, some token ends within its last max_symbols symbols: so a border that stays for each of these ends, stays.
// The last token returned ends with a whole character.
template <class MergeWord>
size_t settled_tokens(std::string_view front, size_t max_symbols, MergeScratch& scratch, const MergeWord& merge_word) {
  merge_word(front);
  const std::vector<WordToken> tokens = scratch.tokens;
  if (scratch.symbols.size() <= max_symbols) return 0;
  std::vector<size_t> ends;
  for (size_t i = scratch.symbols.size() - max_symbols; i < scratch.symbols.size(); ++i)
    ends.push_back(scratch.symbols[i].begin);
  const auto stays = [&](size_t border, const WordToken& next) {
    return std::all_of(ends.begin(), ends.end(), [&](size_t end) {
      merge_word(front.substr(border, end - border));
      return scratch.tokens[0].n_bytes == next.n_bytes;
    });
  };
  // From the back, each time twice as far before the ends.
  size_t border = front.size(), distance = ends.back() - ends.front() + 1;
  for (size_t n = tokens.size(); n-- > 1;) {
    border -= tokens[n].n_bytes;
    const bool within_character = (uint8_t(front[border]) & 0xc0) == 0x80;
    if (within_character || border + distance > ends.front()) continue;
    if (stays(border, tokens[n])) {
      scratch.tokens.assign(tokens.begin(), tokens.begin() + ptrdiff_t(n));
      return n;
    }
    distance *= 2;
  }
  return 0;
}

}  // namespace reform
