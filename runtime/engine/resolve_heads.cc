// Finds the heads for a new context's embeddings: the user's, the shipped ones, those found before, or a search's.
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
  const SessionNeeds needs{
      .limits = Transformer::limits(shape, *engine.device, kLength, kLength),
      .weights = {.last_layer = HeadSearch::last_layer(shape), .stop_at_states = true, .output = false},
      .beside = {},
      .meanwhile = {},
      .advice = fmt::format("a larger {} would fit", engine.cap_flag())};
  TRY_ASSIGN(auto search, engine.open_session<HeadSearch>(
                              needs,
                              [&](const Site& site) {
                                return HeadSearch::create(*engine.model, *engine.tokenizer, site, engine.kv_type());
                              },
                              cancel));
  return search->run(engine.info.n_params, progress, cancel);
}

Result<HeadSets> Engine::Impl::find_heads(const IngestProgressCallback& progress, const CancelToken* cancel) {
  const ModelShape& shape = model->shape();
  if (!options.heads_file.empty()) {
    TRY_ASSIGN(const std::string json, read_small_file(options.heads_file, kMaxHeadsFileBytes));
    return parse_heads_file(json, options.heads_file, shape, info.fingerprint);
  }
  if (gguf->is_synthetic()) return HeadSets{{"paper", {synthetic_heads(shape), {}}}};
  if (const std::string json = shipped_heads_json(info.fingerprint); !json.empty())
    return parse_heads_file(json, "the shipped heads of " + info.name, shape);
  const std::string cached = fmt::format("{}/heads/{}.json", cache_dir(), info.fingerprint);
  if (auto json = read_small_file(cached, kMaxHeadsFileBytes); json.ok()) {
    if (auto parsed = parse_heads_file(json.value(), cached, shape); parsed.ok()) return parsed;
    remark(LogLevel::kWarning, cached + " is damaged; the heads are searched again");
  }
  remark(LogLevel::kInfo, fmt::format("no heads are known for {} yet: searching once, on synthetic text", info.name));
  TRY_ASSIGN(Heads found, search_heads(*this, progress, cancel));
  HeadSets sets{{"paper", {std::move(found), {}}}};
  if (Status s = replace_file(cached, heads_file_json(sets, info.name, info.fingerprint)); !s.ok()) {
    remark(LogLevel::kWarning, "the heads found could not be kept: " + s.message);
  }
  return sets;
}

Result<HeadSet> Engine::Impl::resolve_heads(const std::string& depth, const IngestProgressCallback& progress,
                                            const CancelToken* cancel) {
  if (heads.empty()) {
    TRY_ASSIGN(heads, find_heads(progress, cancel));
  }
  return choose_set(heads, depth);
}

}  // namespace reform
