#include "runtime/tokenizer/merge.h"

#include <xxhash.h>

namespace reform {

namespace {
constexpr size_t kCacheEntries = 1 << 14;
// A symbol has a byte of the text at least, except for a prefix; a window may end behind the character that fills it.
constexpr size_t kMostSymbols = kMaxMergedBytes + 8;
// One candidate for each pair; then each merge takes one out and puts at most two in.
constexpr size_t kMostCandidates = 2 * kMostSymbols;
constexpr size_t kMostSpeltBytes = 3 * kMostSymbols;  // of a blank, U+2581
}  // namespace

size_t WordCache::slot(std::string_view word) { return XXH3_64bits(word.data(), word.size()) & (kCacheEntries - 1); }

bool WordCache::find(std::string_view word, std::vector<WordToken>& tokens) const {
  if (entries_.empty() || word.empty() || word.size() > kMaxBytes) return false;
  const Entry& entry = entries_[slot(word)];
  if (word != std::string_view(entry.word.data(), entry.n_bytes)) return false;
  tokens.assign(entry.tokens.begin(), entry.tokens.begin() + entry.n_tokens);
  return true;
}

void WordCache::put(std::string_view word, const std::vector<WordToken>& tokens) {
  if (!enabled_ || word.size() > kMaxBytes || tokens.size() > kMaxTokens) return;
  if (entries_.empty()) entries_.resize(kCacheEntries);
  Entry& entry = entries_[slot(word)];
  std::copy(word.begin(), word.end(), entry.word.begin());
  std::copy(tokens.begin(), tokens.end(), entry.tokens.begin());
  entry.n_bytes = uint8_t(word.size());
  entry.n_tokens = uint8_t(tokens.size());
}

int64_t WordCache::most_bytes() { return int64_t(kCacheEntries * sizeof(Entry)); }

void MergeScratch::reserve() {
  symbols.reserve(kMostSymbols);
  heap.reserve(kMostCandidates);
  tokens.reserve(kMostSymbols);
  text.reserve(kMostSpeltBytes);
}

int64_t MergeScratch::most_bytes() {
  const size_t bytes = kMostSymbols * (sizeof(Symbol) + 2 * sizeof(WordToken)) +
                       kMostCandidates * sizeof(MergeCandidate) + kMostSpeltBytes +
                       kMaxWindowedSymbols * sizeof(size_t);
  return int64_t(bytes) + WordCache::most_bytes();
}

}  // namespace reform
