#include <fmt/format.h>

#include <algorithm>

#include "base/stopwatch.h"
#include "base/try.h"
#include "runtime/gather/scorer.h"
#include "runtime/jobs/ask_method.h"

namespace reform {
namespace {

MemoryPlan plan_scoring(const Device& device, const EmbeddingLayout& layout, int64_t n_question_tokens) {
  MemoryPlan plan;
  plan[MemoryCategory::kWorkspace] = device.workspace_bytes(Scorer::limits(layout, n_question_tokens));
  plan[MemoryCategory::kIndex] =
      Scorer::device_bytes(layout, n_question_tokens, block_tokens_for(int32_t(layout.row_bytes())));
  return plan;
}

JobPlan plan_query(Ask& ask, const ContextSettings& settings, const CompressOptions& options,
                   const CompressSizes& sizes) {
  Engine::Impl& engine = ask.engine;
  JobPlan plan = plan_compress(engine.model->shape(), *engine.device, settings.heads, options, sizes);
  plan.host[MemoryCategory::kStore] = planned_store_bytes(0, int64_t(ask.contexts.size()));
  if (engine.device->is_host()) return plan;
  // Weights on a GPU stay as they are arranged here until the rows are scored, so scoring must fit beside them, too.
  const MemoryPlan scoring =
      plan_scoring(*engine.device, {int64_t(settings.heads.size()), settings.head_dim}, sizes.call_tokens);
  engine.note_gpu_plan(scoring);
  plan.device[MemoryCategory::kIndex] += std::max<int64_t>(0, scoring.total_bytes() - plan.device.total_bytes());
  return plan;
}

// An empty cache of the shape that the context's has.
Result<StoredCache> make_cache(Ask& ask, const ContextSettings& s, int64_t n_call_tokens) {
  Engine::Impl& engine = ask.engine;
  const CompressOptions options{.policy = find_policy(s.policy),
                                .chunk_tokens = s.chunk_tokens,
                                .cache_tokens = s.cache_tokens,
                                .sink_tokens = s.sink_tokens,
                                .overlap_tokens = s.overlap_tokens,
                                .kv_type = engine.kv_type()};
  const CompressSizes sizes = question_sizes(options, n_call_tokens);
  const JobPlan plan = plan_query(ask, s, options, sizes);
  TRY(engine.make_room(plan, compress_use(s.heads), fmt::format("a larger {} would fit", engine.cap_flag()),
                       ask.cancel));
  StoredCache cache;
  TRY_ASSIGN(cache.kernels, engine.make_kernels(compress_limits(engine.model->shape(), *engine.device, sizes)));
  TRY_ASSIGN(cache.compressor, Compressor::create(*engine.model, *engine.device, *cache.kernels.ops, engine.account,
                                                  s.heads, options, sizes));
  return cache;
}

}  // namespace

Result<StoredCache> load_cache(Ask& ask, OpenContext& context, int64_t n_call_tokens) {
  Stopwatch watch;
  TRY_ASSIGN(StoredCache cache, make_cache(ask, context.settings, n_call_tokens));
  Compressor& compressor = *cache.compressor;
  if (compressor.layout().row_bytes() != context.data->meta().row_bytes) {
    return Status{Code::kCorrupt, fmt::format("context '{}': rows of {} bytes; its heads give {}", context.name(),
                                              context.data->meta().row_bytes, compressor.layout().row_bytes())};
  }
  int64_t n_parts = 0;
  TRY(context.data->load_checkpoint(context.n_tokens(), [&](const std::string& part, std::span<const std::byte> bytes) {
    return compressor.load_part(n_parts++, part, bytes);
  }));
  TRY(compressor.finish_load(n_parts));
  ask.load_ms += watch.lap_ms();
  return cache;
}

Result<Query> query_states(Ask& ask, std::span<const int32_t> ids) {
  Query query;
  query.ids.assign(ids.begin(), ids.end());
  for (OpenContext& context : ask.contexts) {
    TRY_ASSIGN(const StoredCache cache, load_cache(ask, context, int64_t(ids.size())));
    TRY_ASSIGN(const auto rows, cache.compressor->run_question(ids, ask.cancel));
    query.states.emplace_back(rows.begin(), rows.end());
  }
  return query;
}

}  // namespace reform
