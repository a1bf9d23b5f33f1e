#include <fmt/format.h>

#include <algorithm>

#include "base/stopwatch.h"
#include "base/try.h"
#include "runtime/gather/leads.h"
#include "runtime/gather/passage_cutter.h"
#include "runtime/gather/scorer.h"
#include "runtime/jobs/ask_method.h"

namespace reform {
namespace {

// What the contexts' manifests and the questions' states take, as far as it grows with the number of contexts.
int64_t bytes_of_contexts(const Ask& ask, std::span<const Ids> questions) {
  int64_t n_ids = 0, bytes = 0;
  for (const Ids& ids : questions) n_ids += int64_t(ids.size());
  for (const OpenContext& context : ask.contexts) {
    const ContextMeta& meta = context.data->meta();
    bytes += n_ids * meta.row_bytes + 2 * int64_t(meta.settings.size() + meta.sources.size() + meta.progress.size());
  }
  return bytes;
}

// An empty cache of the same shape as the context's. beside_bytes: what the caller holds with it.
Result<Session<Compressor>> make_cache(Ask& ask, const ContextSettings& s, int64_t n_call_tokens, int64_t beside_bytes,
                                       bool run_through) {
  Engine::Impl& engine = ask.engine;
  const CompressOptions options = compress_options(s, engine.kv_type());
  const CompressSizes sizes = question_sizes(options, n_call_tokens);
  SessionNeeds needs{.limits = Compressor::limits(engine.model->shape(), *engine.device, sizes),
                     .weights = run_through ? Compressor::ingest_weights(engine.model->shape(), s.heads, options)
                                            : Compressor::weights(s.heads),
                     .beside = store_beside(ask),
                     .meanwhile = {},
                     .advice = fmt::format("a larger {} would fit", engine.cap_flag())};
  needs.beside[MemoryCategory::kIndex] = beside_bytes;
  // Weights stay as they are arranged here until the rows are scored, so scoring must fit beside them, too.
  const EmbeddingLayout layout{int64_t(s.heads.size()), s.head_dim};
  TRY_ASSIGN(needs.meanwhile, count_job(*engine.device, Scorer::limits(layout, n_call_tokens),
                                        [&](const Site& site) { return make_scorer(site, layout, n_call_tokens); }));
  if (!s.maps.empty()) {
    // A second round asks with sentences of passages.
    const int64_t n_rows = std::max(n_call_tokens, int64_t(kMostSentences) * PassageCutter::kMaxTokens);
    TRY_ASSIGN(const JobPlan late, count_job(*engine.device, Scorer::limits(layout, n_rows),
                                             [&](const Site& site) { return make_late_scorer(site, layout, n_rows); }));
    needs.meanwhile.cover(late);
  }
  engine.note_gpu_plan(needs.meanwhile.device);
  return engine.open_session<Compressor>(
      needs, [&](const Site& site) { return Compressor::create(*engine.model, site, s.heads, options, sizes); },
      ask.cancel);
}

}  // namespace

MemoryPlan store_beside(const Ask& ask) {
  MemoryPlan plan;
  plan[MemoryCategory::kStore] = planned_store_bytes(0, int64_t(ask.contexts.size()));
  return plan;
}

Status load_slots(OpenContext& context, CacheLoader loader) {
  TRY(context.data->load_checkpoint(context.n_tokens(), [&](const std::string& part, std::span<const std::byte> bytes) {
    return loader.load_part(part, bytes);
  }));
  return loader.finish();
}

Result<Session<Compressor>> load_cache(Ask& ask, OpenContext& context, int64_t n_call_tokens, int64_t beside_bytes,
                                       bool run_through) {
  Stopwatch watch;
  TRY_ASSIGN(auto cache, make_cache(ask, context.settings, n_call_tokens, beside_bytes, run_through));
  TRY(load_slots(context, cache->loader()));
  ask.load_ms += watch.lap_ms();
  return cache;
}

Result<std::vector<Query>> query_nothing(Ask&, std::span<const Ids> questions) {
  std::vector<Query> queries;
  for (const Ids& ids : questions) queries.push_back({.ids = ids, .states = {}});
  return queries;
}

Result<std::vector<Query>> query_states(Ask& ask, std::span<const Ids> questions) {
  TRY_ASSIGN(std::vector<Query> queries, query_nothing(ask, questions));
  size_t longest = 0;
  for (const Ids& ids : questions) longest = std::max(longest, ids.size());
  const int64_t beside_bytes = bytes_of_contexts(ask, questions);
  for (OpenContext& context : ask.contexts) {
    TRY_ASSIGN(auto cache, load_cache(ask, context, int64_t(longest), beside_bytes));
    for (Query& query : queries) {
      const Stopwatch watch;
      TRY_ASSIGN(const auto rows, cache->run_question(query.ids, ask.cancel));
      query.states.emplace_back(rows.begin(), rows.end());
      query.run_ms += watch.elapsed_ms();
    }
  }
  return queries;
}

}  // namespace reform
