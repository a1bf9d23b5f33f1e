#include <fmt/format.h>
#include <reform/heads.h>
#include <reform/ranges.h>

#include "base/try.h"
#include "runtime/engine/head_search.h"
#include "runtime/model/judge.h"

namespace reform {

Status HeadSearchOptions::validate() const {
  if (!ranges::kHeadQuestions.holds(n_questions)) return {Code::kUsage, "questions must not be negative"};
  if (!ranges::kHeadMinutes.holds(minutes)) return {Code::kUsage, "minutes must not be negative"};
  if (!(depth > 0 && depth <= 1)) return {Code::kUsage, "the depth must be above 0 and at most 1"};
  return {};
}

Result<HeadSearchResult> search_heads(Engine& engine_handle, const HeadSearchOptions& options,
                                      const IngestProgressCallback& progress, const CancelToken* cancel) {
  TRY(options.validate());
  Engine::Impl& engine = engine_handle.impl();
  TRY_ASSIGN(const auto turn, engine.turns.take(Turns::Kind::kReading, cancel));
  if (engine.gguf->is_synthetic())
    return Status{Code::kUsage, engine.info.name + ": a model with random weights has no heads to choose"};
  auto searched = run_head_search(engine, options, /*with_curve=*/true, progress, cancel);
  TRY(judge(*engine.gguf, searched.status()));
  HeadSearch found = std::move(searched).value();
  if (Heads paper = engine.paper_heads(); !paper.empty()) found.sets[kPaperDepth] = {std::move(paper), {}};
  HeadSearchResult& result = found.report;
  result.heads_file = heads_file_json(found.sets, engine.info.name, engine.info.fingerprint);
  const bool on_few = options.n_questions > 0 || options.minutes > 0;  // and so perhaps worse than what is kept
  if (engine.shipped_sets().contains(kUsualDepth) || !found.sets.contains(kUsualDepth) ||
      (on_few && engine.kept_sets().contains(kUsualDepth)))
    return std::move(found.report);
  if (engine.keep_heads(result.heads_file)) {
    result.kept_at = engine.kept_heads_path();
    engine.heads.clear();  // the next ingest finds them, or those of its heads file
  }
  return std::move(found.report);
}

}  // namespace reform
