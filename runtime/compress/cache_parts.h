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

// Loads a cache from a checkpoint of all its layers, and the state of the policy that left it (null: none did).
class CacheLoader {
 public:
  // The checkpoint may hold up to most_slots slots, and the cache has room for them.
  CacheLoader(Device& device, KvCache& cache, EvictionPolicy* policy, int64_t most_slots);

  // Each part of the checkpoint in order, then finish(). Stored parts are outside data: kCorrupt.
  Status load_part(const std::string& name, std::span<const std::byte> bytes);
  Status finish();

 private:
  Device& device_;
  KvCache& cache_;
  const int64_t most_slots_;
  std::vector<StatePart> parts_;  // that are to come, in order
  size_t n_loaded_ = 0;
  int64_t kv_len_ = 0;  // of the first part; all others must have as many slots
};

}  // namespace reform
