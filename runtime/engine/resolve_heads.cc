// The heads a new context's embeddings are made of: the user's, the shipped ones, those found before, or a search's.
#include <fmt/format.h>

#include "base/small_file.h"
#include "base/try.h"
#include "runtime/compress/head_search.h"
#include "runtime/engine/engine_impl.h"

namespace reform {
namespace {

constexpr int64_t kMaxHeadsFileBytes = 1 << 20;

}  // namespace

Result<Heads> search_heads(Engine::Impl& engine, const IngestProgressCallback& progress, const CancelToken* cancel) {
  const ModelShape& shape = engine.model->shape();
  constexpr int64_t kLength = HeadSearch::kCallTokens;
  const int64_t last_layer = HeadSearch::last_layer(shape);
  JobPlan plan = plan_recompute(shape, *engine.device, engine.kv_type(), kLength, kLength);
  plan.device[MemoryCategory::kKvCache] =
      KvCache::bytes(engine.kv_type(), last_layer + 1, shape.n_kv_heads, shape.head_dim, kLength);
  if (!engine.device->is_host()) {
    plan.host[MemoryCategory::kActivations] = kLength * shape.n_heads * shape.head_dim * int64_t(sizeof(float));
  }
  TRY(engine.make_room(plan, {.last_layer = last_layer, .stop_at_states = true, .output = false},
                       fmt::format("a larger {} would fit", engine.cap_flag()), cancel));
  TRY_ASSIGN(Kernels kernels, engine.make_kernels(recompute_limits(shape, *engine.device, kLength, kLength)));
  TRY_ASSIGN(auto search, HeadSearch::create(*engine.model, *engine.tokenizer, *engine.device, *kernels.ops,
                                             engine.account, engine.kv_type()));
  return search->run(engine.info.n_params, progress, cancel);
}

Result<Heads> Engine::Impl::resolve_heads(const IngestProgressCallback& progress, const CancelToken* cancel) {
  if (!heads.empty()) return heads;
  const ModelShape& shape = model->shape();
  if (!options.heads_file.empty()) {
    TRY_ASSIGN(const std::string json, read_small_file(options.heads_file, kMaxHeadsFileBytes));
    TRY_ASSIGN(heads, parse_heads_json(json, options.heads_file, shape, info.fingerprint));
    return heads;
  }
  if (gguf->is_synthetic()) {
    heads = synthetic_heads(shape);
    return heads;
  }
  if (const std::string json = shipped_heads_json(info.fingerprint); !json.empty()) {
    TRY_ASSIGN(heads, parse_heads_json(json, "the shipped heads of " + info.name, shape));
    return heads;
  }
  const std::string cached = fmt::format("{}/heads/{}.json", cache_dir(), info.fingerprint);
  if (auto json = read_small_file(cached, kMaxHeadsFileBytes); json.ok()) {
    if (auto parsed = parse_heads_json(json.value(), cached, shape); parsed.ok()) {
      heads = parsed.value();
      return heads;
    }
    remark(LogLevel::kWarning, cached + " is damaged; the heads are searched again");
  }
  remark(LogLevel::kInfo, fmt::format("no heads are known for {} yet: searching once, on synthetic text", info.name));
  TRY_ASSIGN(heads, search_heads(*this, progress, cancel));
  if (Status s = replace_file(cached, heads_json(heads, info.name, info.fingerprint)); !s.ok()) {
    remark(LogLevel::kWarning, "the heads found could not be kept: " + s.message);
  }
  return heads;
}

}  // namespace reform
