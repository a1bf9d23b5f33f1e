#include "runtime/tokenizer/merge.h"

#include <xxhash.h>

namespace reform {

namespace {
constexpr size_t kCacheEntries = 1 << 14;
constexpr size_t kMaxCachedBytes = 48;
}  // namespace

size_t WordCache::slot(std::string_view word) { return XXH3_64bits(word.data(), word.size()) & (kCacheEntries - 1); }

const std::vector<WordToken>* WordCache::find(std::string_view word) const {
  if (entries_.empty() || word.size() > kMaxCachedBytes) return nullptr;
  const Entry& entry = entries_[slot(word)];
  return entry.word == word && !word.empty() ? &entry.tokens : nullptr;
}

void WordCache::put(std::string_view word, const std::vector<WordToken>& tokens) {
  if (!enabled_ || word.size() > kMaxCachedBytes) return;
  if (entries_.empty()) entries_.resize(kCacheEntries);
  Entry& entry = entries_[slot(word)];
  entry.word = word;
  entry.tokens = tokens;
}

}  // namespace reform
