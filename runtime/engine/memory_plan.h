// What a job will take, computed before anything is allocated: one line per category, checked against the cap.
#pragma once

#include <reform/status.h>

#include <string>

#include "base/memory.h"
#include "kernels/device.h"
#include "runtime/compress/compress.h"
#include "runtime/model/weights/places.h"

namespace reform {

struct MemoryPlan {
  int64_t bytes[size_t(MemoryCategory::kCount)] = {};

  int64_t& operator[](MemoryCategory c) { return bytes[size_t(c)]; }
  int64_t total_bytes() const;
  void raise_to(const MemoryPlan& other);  // in each category the larger
  // kMemoryCap with the table of what was asked and `advice` where it passes the cap; 0: there is none.
  Status check(int64_t cap_bytes, const std::string& advice) const;
};
MemoryPlan operator+(MemoryPlan plan, const MemoryAccount& account);  // and what is in use

// Where the device's memory is the host's, all of it counts there. Weights are not part of it.
struct JobPlan {
  MemoryPlan device, host;

  // Sees whether both fit, with what `use` needs of the weights, and arranges these in what the job leaves; before any
  // of its buffers is made. `host_account` is the host's. kMemoryCap; kIo and kCancelled while weights are copied.
  Status make_room(Device& device, const Model& model, const WeightUse& use, const MemoryAccount& host_account,
                   const std::string& advice, const CancelToken* cancel) const;
};

// The limits of a compress job's kernels, and of a recompute's.
OpLimits compress_limits(const ModelShape& shape, const Device& device, const CompressSizes& sizes,
                         bool fp8_products = false);
OpLimits recompute_limits(const ModelShape& shape, const Device& device, int64_t call_tokens, int64_t capacity);
WeightUse compress_use(const Heads& heads);  // of the weights

JobPlan plan_compress(const ModelShape& shape, Device& device, const Heads& heads, const CompressOptions& options,
                      const CompressSizes& sizes);
JobPlan plan_recompute(const ModelShape& shape, Device& device, KvView::Type kv_type, int64_t call_tokens,
                       int64_t capacity);

}  // namespace reform
