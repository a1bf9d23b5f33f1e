// What a job will take, computed before anything is allocated: one line per category, checked against the cap.
#pragma once

#include <reform/status.h>

#include <string>

#include "base/memory.h"
#include "kernels/ops.h"
#include "runtime/compress.h"

namespace reform {

struct MemoryPlan {
  int64_t bytes[size_t(MemoryCategory::kCount)] = {};

  int64_t& operator[](MemoryCategory c) { return bytes[size_t(c)]; }
  int64_t total_bytes() const;
  // kMemoryCap with the table of what was asked and `advice` when the plan and what is in use pass the cap.
  Status check(const MemoryAccount& account, const std::string& advice) const;
};

// The limits of a compress job's kernels, and of a recompute's.
OpLimits compress_limits(const ModelShape& shape, const CompressSizes& sizes);
OpLimits recompute_limits(const ModelShape& shape, int64_t call_tokens, int64_t capacity);
OpLimits larger(const OpLimits& a, const OpLimits& b);

MemoryPlan plan_compress(const ModelShape& shape, Isa isa, int n_threads, const Heads& heads,
                         const CompressOptions& options, const CompressSizes& sizes);
MemoryPlan plan_recompute(const ModelShape& shape, Isa isa, int n_threads, KvView::Type kv_type, int64_t call_tokens,
                          int64_t capacity);

}  // namespace reform
