#include "runtime/compress/cache_parts.h"

#include <fmt/format.h>

#include <algorithm>

namespace reform {

std::vector<StatePart> cache_parts(const KvCache& cache, int64_t layer) {
  std::vector<StatePart> parts;
  const KvView view = cache.layer(layer, 0);
  const int64_t slot_bytes = view.head_dim * elem_bytes(view.type);
  const char* const type = view.type == KvView::Type::kF32 ? "f32" : "f16";
  for (const bool is_key : {true, false}) {
    auto* const data = static_cast<std::byte*>(is_key ? view.k : view.v);
    for (int64_t g = 0; g < view.n_kv_heads; ++g) {
      parts.push_back({.name = fmt::format("{} {}.{} {}", is_key ? "k" : "v", layer, g, type),
                       .data = data + g * view.capacity * slot_bytes,
                       .slot_bytes = slot_bytes,
                       .is_cache = true});
    }
  }
  return parts;
}

std::vector<StatePart> checkpoint_parts(const KvCache& cache, EvictionPolicy* policy) {
  std::vector<StatePart> all;
  for (int64_t layer = 0; layer < cache.n_layers(); ++layer) {
    for (StatePart& part : cache_parts(cache, layer)) all.push_back(std::move(part));
    if (policy == nullptr) continue;
    for (StatePart& part : policy->state(layer)) all.push_back(std::move(part));
  }
  return all;
}

Status CacheLoader::load_part(const std::string& name, std::span<const std::byte> bytes) {
  if (n_loaded_ == parts_.size()) return {Code::kCorrupt, fmt::format("checkpoint: unexpected part '{}'", name)};
  const StatePart& part = parts_[n_loaded_];
  const int64_t size_bytes = int64_t(bytes.size());
  if (n_loaded_ == 0) kv_len_ = size_bytes / part.slot_bytes;
  if (name != part.name || kv_len_ < 1 || kv_len_ > most_slots_ || size_bytes != part.bytes(kv_len_)) {
    return {Code::kCorrupt,
            fmt::format("checkpoint: part {} is '{}' of {} bytes; expected '{}' of {} bytes ({} slots; "
                        "1 to {})",
                        n_loaded_, name, size_bytes, part.name, part.bytes(kv_len_), kv_len_, most_slots_)};
  }
  ++n_loaded_;
  if (!part.on_host) return device_.to_device(part.data, bytes.data(), size_bytes);
  std::copy(bytes.begin(), bytes.end(), part.data);
  return {};
}

Status CacheLoader::finish(bool may_be_empty) {
  if (n_loaded_ < parts_.size() && !(may_be_empty && n_loaded_ == 0))
    return {Code::kCorrupt, fmt::format("checkpoint: {} parts; expected {}", n_loaded_, parts_.size())};
  cache_.set_kv_len(n_loaded_ == 0 ? 0 : kv_len_);
  return {};
}

}  // namespace reform
