#include "runtime/model/kv_cache.h"

#include <cstring>

namespace reform {

Result<KvCache> KvCache::create(MemoryAccount& account, KvView::Type type, int64_t n_layers, int64_t n_kv_heads,
                                int64_t head_dim, int64_t capacity) {
  KvCache cache;
  TRY_ASSIGN(cache.storage_,
             Buffer<std::byte>::create(account, MemoryCategory::kKvCache,
                                       2 * n_layers * n_kv_heads * head_dim * capacity * elem_bytes(type)));
  cache.view_ = {type, nullptr, nullptr, n_kv_heads, head_dim, capacity, 0};
  cache.n_layers_ = n_layers;
  return cache;
}

int64_t KvCache::slots_bytes(int64_t n_slots) const { return n_runs() * run_bytes(n_slots); }

void KvCache::save_slots(std::byte* to, int64_t n_slots) const {
  const int64_t bytes = run_bytes(n_slots), stride = run_bytes(capacity());
  for (int64_t i = 0; i < n_runs(); ++i) std::memcpy(to + i * bytes, storage_.data() + i * stride, size_t(bytes));
}

void KvCache::load_slots(const std::byte* from, int64_t n_slots) {
  const int64_t bytes = run_bytes(n_slots), stride = run_bytes(capacity());
  for (int64_t i = 0; i < n_runs(); ++i) std::memcpy(storage_.data() + i * stride, from + i * bytes, size_t(bytes));
  set_kv_len(n_slots);
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
