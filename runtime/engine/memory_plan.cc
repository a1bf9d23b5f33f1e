#include "runtime/engine/memory_plan.h"

#include <fmt/format.h>
#include <reform/units.h>

#include <algorithm>

#include "base/try.h"
#include "runtime/recompute/next_token.h"

namespace reform {
namespace {

OpLimits limits_of(const ModelShape& shape, const Device& device, int64_t call_tokens, int64_t capacity) {
  return {.max_tokens = call_tokens,
          .max_cols = std::max({shape.d_model, shape.d_ff, shape.n_heads * shape.head_dim}),
          .max_kv_len = capacity,
          .n_heads = shape.n_heads,
          .n_kv_heads = shape.n_kv_heads,
          .head_dim = shape.head_dim,
          .max_block_tokens = std::min(call_tokens, device.block_tokens())};
}

// What a policy allocates: it is made once in memory that is counted and never touched.
int64_t policy_bytes(const ModelShape& shape, Device& device, const CompressOptions& options, int64_t n_layers,
                     int64_t capacity) {
  if (options.policy->carry == Carry::kNothing) return 0;
  struct NoMemory final : MemorySource {
    void* allocate_zeroed(int64_t /*bytes*/) override { return this; }
    void give_back(void* /*data*/, int64_t /*bytes*/) override {}
  } no_memory;
  MemoryAccount counts(0, &no_memory);
  const auto ops = make_reference_ops();
  const auto policy = options.policy->make({.device = device,
                                            .ops = *ops,
                                            .account = counts,
                                            .shape = shape,
                                            .n_layers = n_layers,
                                            .capacity = capacity,
                                            .budget = options.cache_tokens,
                                            .sinks = options.sink_tokens});
  CHECK(policy.ok());
  return counts.current_bytes(MemoryCategory::kKvCache);
}

}  // namespace

int64_t MemoryPlan::total_bytes() const {
  int64_t total = 0;
  for (const int64_t b : bytes) total += b;
  return total;
}

void MemoryPlan::raise_to(const MemoryPlan& other) {
  for (size_t c = 0; c < size_t(MemoryCategory::kCount); ++c) bytes[c] = std::max(bytes[c], other.bytes[c]);
}

Status MemoryPlan::check(int64_t cap_bytes, const std::string& advice) const {
  if (cap_bytes == 0 || total_bytes() <= cap_bytes) return {};
  std::string table;
  for (size_t c = 0; c < size_t(MemoryCategory::kCount); ++c) {
    if (bytes[c] == 0) continue;
    table += fmt::format("{}{} {}", table.empty() ? "" : ", ", name(MemoryCategory(c)), format_bytes(bytes[c]));
  }
  return {Code::kMemoryCap, fmt::format("this needs {} and the cap is {} ({}); {}", format_bytes(total_bytes()),
                                        format_bytes(cap_bytes), table, advice)};
}

MemoryPlan operator+(MemoryPlan plan, const MemoryAccount& account) {
  for (size_t c = 0; c < size_t(MemoryCategory::kCount); ++c) {
    plan.bytes[c] += account.current_bytes(MemoryCategory(c));
  }
  return plan;
}

Status JobPlan::make_room(Device& where, const Model& model, const WeightUse& use, const MemoryAccount& host_account,
                          const std::string& advice, const CancelToken* cancel) const {
  if (where.is_host()) {
    MemoryPlan all = host;
    for (size_t c = 0; c < size_t(MemoryCategory::kCount); ++c) all.bytes[c] += device.bytes[c];
    return (all + host_account).check(host_account.cap_bytes(), advice);
  }
  WeightPlaces& weights = *model.places();
  MemoryPlan there = device;
  there[MemoryCategory::kWeights] += weights.least_bytes(use);
  const Status fits = there.check(where.account().cap_bytes(), advice);
  if (!fits.ok()) return {fits.code, fmt::format("{}: {}", where.name(), fits.message)};
  const char* const host_advice = "a larger --max-host-memory would fit";
  const Status arranged = weights.arrange(use, device.total_bytes(), host.total_bytes(), cancel);
  if (arranged.code == Code::kMemoryCap) return {arranged.code, fmt::format("{}; {}", arranged.message, host_advice)};
  TRY(arranged);
  return (host + host_account).check(host_account.cap_bytes(), host_advice);
}

OpLimits compress_limits(const ModelShape& shape, const Device& device, const CompressSizes& s, bool fp8_products) {
  OpLimits limits = limits_of(shape, device, s.call_tokens, s.capacity);
  if (fp8_products) limits.code_weights = shape.n_layers * kMatricesPerLayer;
  return limits;
}

OpLimits recompute_limits(const ModelShape& shape, const Device& device, int64_t call_tokens, int64_t capacity) {
  return limits_of(shape, device, call_tokens, capacity);
}

WeightUse compress_use(const Heads& heads) {
  return {.last_layer = exit_layer(heads), .stop_at_states = true, .output = false};
}

JobPlan plan_compress(const ModelShape& shape, Device& device, const Heads& heads, const CompressOptions& options,
                      const CompressSizes& sizes) {
  const int64_t layers = exit_layer(heads);
  JobPlan job;
  MemoryPlan& plan = job.device;
  plan[MemoryCategory::kKvCache] =
      KvCache::bytes(options.kv_type, layers, shape.n_kv_heads, shape.head_dim, sizes.capacity) +
      policy_bytes(shape, device, options, layers, sizes.capacity);
  plan[MemoryCategory::kActivations] = Transformer::activation_bytes(shape, sizes.call_tokens, device.block_tokens());
  plan[MemoryCategory::kWorkspace] =
      device.workspace_bytes(compress_limits(shape, device, sizes, options.fp8_products));
  const int64_t rows_bytes = sizes.call_tokens * EmbeddingLayout{int64_t(heads.size()), shape.head_dim}.row_bytes();
  plan[MemoryCategory::kIndex] = rows_bytes * (device.is_host() ? 1 : 2);  // two buffers, and the host's copies of them
  if (!device.is_host()) job.host[MemoryCategory::kIndex] = plan[MemoryCategory::kIndex];
  return job;
}

JobPlan plan_recompute(const ModelShape& shape, Device& device, KvView::Type kv_type, int64_t call_tokens,
                       int64_t capacity) {
  JobPlan job;
  MemoryPlan& plan = job.device;
  plan[MemoryCategory::kKvCache] = KvCache::bytes(kv_type, shape.n_layers, shape.n_kv_heads, shape.head_dim, capacity);
  plan[MemoryCategory::kActivations] =
      Transformer::activation_bytes(shape, call_tokens, device.block_tokens()) + NextToken::bytes(shape.n_vocab);
  plan[MemoryCategory::kWorkspace] = device.workspace_bytes(recompute_limits(shape, device, call_tokens, capacity));
  return job;
}

}  // namespace reform
