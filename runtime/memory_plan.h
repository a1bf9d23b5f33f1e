// What a job will take, computed before anything is allocated: one line per category, checked against the cap.
#pragma once

#include <reform/status.h>

#include <string>

#include "base/memory.h"
#include "kernels/device.h"
#include "runtime/compress.h"

namespace reform {

struct MemoryPlan {
  int64_t bytes[size_t(MemoryCategory::kCount)] = {};

  int64_t& operator[](MemoryCategory c) { return bytes[size_t(c)]; }
  int64_t total_bytes() const;
  // kMemoryCap with the table of what was asked and `advice` when the plan and what is in use pass the cap.
  Status check(const MemoryAccount& account, const std::string& advice) const;
};

// Where the device's memory is the host's, all of it counts there.
struct JobPlan {
  MemoryPlan device, host;

  // Whether both fit; `host_account` is the host's.
  Status check(Device& device, const MemoryAccount& host_account, const std::string& advice) const;
};

// The limits of a compress job's kernels, and of a recompute's.
OpLimits compress_limits(const ModelShape& shape, const Device& device, const CompressSizes& sizes);
OpLimits recompute_limits(const ModelShape& shape, const Device& device, int64_t call_tokens, int64_t capacity);
OpLimits larger(const OpLimits& a, const OpLimits& b);

JobPlan plan_compress(const ModelShape& shape, Device& device, const Heads& heads, const CompressOptions& options,
                      const CompressSizes& sizes);
JobPlan plan_recompute(const ModelShape& shape, Device& device, KvView::Type kv_type, int64_t call_tokens,
                       int64_t capacity);

}  // namespace reform
