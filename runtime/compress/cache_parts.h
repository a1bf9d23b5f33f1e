// A cache as a checkpoint holds it, part by part. The names are on disk (docs/FORMAT.md); never change them.
#pragma once

#include <reform/status.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "runtime/compress/policies/policy.h"
#include "runtime/model/kv_cache.h"

namespace reform {

// One layer's: the keys of each KV head, then the values of each.
std::vector<StatePart> cache_parts(const KvCache& cache, int64_t layer);
// All of a checkpoint: for each layer in order what the cache holds, then what the policy adds, if there is one. Called
// once for a policy.
std::vector<StatePart> checkpoint_parts(const KvCache& cache, EvictionPolicy* policy);

// Loads a checkpoint into an empty cache and the policy's state at its beginning.
class CacheLoader {
 public:
  // `parts`: the cache's checkpoint_parts(), which must outlive this. The checkpoint may hold up to most_slots slots,
  // and the cache has room for them.
  CacheLoader(Device& device, KvCache& cache, std::span<const StatePart> parts, int64_t most_slots)
      : device_(device), cache_(cache), most_slots_(most_slots), parts_(parts) {}

  // Each part of the checkpoint in order, then finish(). Stored parts are outside data, so their names and sizes are
  // checked: kCorrupt. may_be_empty: a checkpoint without parts leaves the cache empty.
  Status load_part(const std::string& name, std::span<const std::byte> bytes);
  Status finish(bool may_be_empty = false);

 private:
  Device& device_;
  KvCache& cache_;
  const int64_t most_slots_;
  const std::span<const StatePart> parts_;  // in order
  size_t n_loaded_ = 0;
  int64_t kv_len_ = 0;  // of the first part; all others must have as many slots
};

}  // namespace reform
