#include "runtime/recompute/prompt_cache.h"

#include <algorithm>
#include <utility>

namespace reform {

std::list<PromptCache::Kept>::iterator PromptCache::find(std::span<const int32_t> prompt) {
  return std::ranges::find_if(kept_, [&](const Kept& kept) { return std::ranges::equal(kept.prompt, prompt); });
}

bool PromptCache::recall(std::span<const int32_t> prompt, KvCache& cache, std::span<float> last_row) {
  const auto kept = find(prompt);
  if (kept == kept_.end()) return false;
  cache.load_slots(kept->slots.data(), int64_t(prompt.size()));
  std::ranges::copy(kept->last_row, last_row.begin());
  kept_.splice(kept_.end(), kept_, kept);
  return true;
}

void PromptCache::keep(std::span<const int32_t> prompt, const KvCache& cache, std::span<const float> last_row) {
  const int64_t bytes = cache.slots_bytes(int64_t(prompt.size()));
  if (bytes > max_bytes_ || find(prompt) != kept_.end()) return;
  while (bytes_ + bytes > max_bytes_) drop_oldest();
  auto slots = Buffer<std::byte>::create(account_, MemoryCategory::kKvCache, bytes);
  if (!slots.ok()) return;
  cache.save_slots(slots.value().data(), int64_t(prompt.size()));
  kept_.push_back({{prompt.begin(), prompt.end()}, {last_row.begin(), last_row.end()}, std::move(slots).value()});
  bytes_ += bytes;
}

bool PromptCache::drop_oldest() {
  if (kept_.empty()) return false;
  bytes_ -= kept_.front().slots.size();
  kept_.pop_front();
  return true;
}

}  // namespace reform
