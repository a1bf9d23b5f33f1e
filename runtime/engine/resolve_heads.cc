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
