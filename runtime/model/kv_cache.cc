#include "runtime/model/kv_cache.h"

namespace reform {
int64_t KvCache::bytes(KvView::Type type, int64_t n_layers, int64_t n_kv_heads, int64_t head_dim, int64_t capacity) {
  return 2 * n_layers * n_kv_heads * head_dim * capacity * elem_bytes(type);
}

Result<KvCache> KvCache::create(MemoryAccount& account, KvView::Type type, int64_t n_layers, int64_t n_kv_heads,
                                int64_t head_dim, int64_t capacity) {
  KvCache cache;
  TRY_ASSIGN(cache.storage_, Buffer<std::byte>::create(account, MemoryCategory::kKvCache,
                                                       bytes(type, n_layers, n_kv_heads, head_dim, capacity)));
  cache.view_ = {type, nullptr, nullptr, n_kv_heads, head_dim, capacity, 0};
  cache.n_layers_ = n_layers;
  return cache;
}

KvView KvCache::layer(int64_t i, int64_t kv_len) const {
  const int64_t half_bytes = view_.n_kv_heads * view_.head_dim * view_.capacity * elem_bytes(view_.type);
  KvView view = view_;
  std::byte* base = const_cast<std::byte*>(storage_.data()) + i * 2 * half_bytes;
  view.k = base;
  view.v = base + half_bytes;
  view.kv_len = kv_len;
  return view;
}

}  // namespace reform
