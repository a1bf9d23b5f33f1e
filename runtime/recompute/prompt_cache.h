// What the model made of prompts that were run, kept for when the same prompt comes again. Then nothing of it is run,
// not even its last token, so the answer has the same bytes as without.
//
// A prompt that only begins like a kept one is run whole: the states of a token depend, in their last bits, on how many
// tokens one call has.
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <vector>

#include "base/memory.h"
#include "runtime/model/kv_cache.h"

namespace reform {

class PromptCache {
 public:
  // The account must outlive it. It takes max_bytes at most, counted there as KV cache.
  PromptCache(MemoryAccount& account, int64_t max_bytes) : account_(account), max_bytes_(max_bytes) {}

  // Puts the prompt's slots into `cache`, which is empty, and its last row's hidden state into `last_row`. False: it is
  // not kept.
  bool recall(std::span<const int32_t> prompt, KvCache& cache, std::span<float> last_row);
  // Of a prompt that has just been run into `cache`. Those that were not recalled for longest make room. Nothing
  // happens if there is none.
  void keep(std::span<const int32_t> prompt, const KvCache& cache, std::span<const float> last_row);
  // The one that was not recalled for longest. False: there is none.
  bool drop_oldest();
  int64_t bytes() const { return bytes_; }

 private:
  struct Kept {
    std::vector<int32_t> prompt;
    std::vector<float> last_row;
    Buffer<std::byte> slots;
  };
  std::list<Kept>::iterator find(std::span<const int32_t> prompt);

  MemoryAccount& account_;
  const int64_t max_bytes_;
  int64_t bytes_ = 0;     // of all slots
  std::list<Kept> kept_;  // the one that was recalled last comes last
};

}  // namespace reform
