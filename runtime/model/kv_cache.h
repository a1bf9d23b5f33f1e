// The KV cache of layers [0, n_layers): a bounded number of slots per layer, allocated once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/memory.h"
#include "kernels/ops.h"

namespace reform {

// All layers have the same kv_len. After an eviction each layer may hold different tokens; only their number is the
// same.
class KvCache {
 public:
  static Result<KvCache> create(MemoryAccount& account, KvView::Type type, int64_t n_layers, int64_t n_kv_heads,
                                int64_t head_dim, int64_t capacity);

  int64_t n_layers() const { return n_layers_; }
  int64_t capacity() const { return view_.capacity; }
  int64_t kv_len() const { return kv_len_; }
  void set_kv_len(int64_t kv_len) { kv_len_ = kv_len; }
  // The layer's first `kv_len` slots. A call passes more than kv_len(), to see the rows that it is adding.
  KvView layer(int64_t i, int64_t kv_len) const;

  // The first n_slots of all layers as one block of bytes, which the host must reach. Loading them sets kv_len.
  int64_t slots_bytes(int64_t n_slots) const;
  void save_slots(std::byte* to, int64_t n_slots) const;
  void load_slots(const std::byte* from, int64_t n_slots);

 private:
  int64_t n_runs() const { return 2 * n_layers_ * view_.n_kv_heads; }  // of slots that lie together
  int64_t run_bytes(int64_t n_slots) const { return n_slots * view_.head_dim * elem_bytes(view_.type); }

  Buffer<std::byte> storage_;
  KvView view_;
  int64_t n_layers_ = 0, kv_len_ = 0;
};

}  // namespace reform
